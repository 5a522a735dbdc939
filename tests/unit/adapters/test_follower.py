"""What services read names a bundle that is here and whole, whatever the registry does."""

import json
import logging
import shutil
import threading
import time
from pathlib import Path

import pytest
from promotion_kit import MemoryStore, write_bundle

from parfocal.adapters.follower import AGAIN, Follower, current, rejected
from parfocal.core.errors import DataContractError, OutsideServiceError
from parfocal.core.protocols import ModelVersion


class Registry(MemoryStore):
    """A registry that can be down, or hand out damaged bundles."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.broken: set[str] = set()
        self.asked = 0

    def get(self, task: str, version_or_alias: str) -> ModelVersion | None:
        self.asked += 1
        if self.down:
            raise OutsideServiceError("MLflow could not look up a model")
        return super().get(task, version_or_alias)

    def fetch(self, task: str, version_or_alias: str, into: Path) -> Path:
        if version_or_alias in self.broken:
            raise DataContractError(f"version {version_or_alias} is damaged")
        return super().fetch(task, version_or_alias, into)


class House:
    """A registry with a few versions, a follower, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.now = folder / "serving", Registry(), 1e9
        for i in range(6):
            write_bundle(folder / f"b{i}", f"weights {i}")
            self.store.register(folder / f"b{i}", "fundus")
        self.follower = self.fresh()

    def fresh(self) -> Follower:
        return Follower(self.store, "fundus", self.folder, clock=lambda: self.now)

    def promote(self, version: int) -> bool:
        self.store.set_alias("fundus", "champion", str(version))
        return self.follower.check()

    @property
    def version(self) -> str | None:
        return (current(self.folder) or {}).get("version")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_without_a_champion_there_is_nothing_to_read(house: House) -> None:
    assert house.follower.check() is False
    assert current(house.folder) is None
    assert (house.folder / "follower").exists()


def test_a_moved_alias_is_here_and_named(house: House) -> None:
    assert house.promote(1)
    first = current(house.folder)
    assert first is not None
    assert (first["task"], first["version"], first["since"]) == ("fundus", "1", "2001-09-09T01:46:40.000+00:00")
    assert first["uri"] == str(house.folder.parent / "b0")
    assert first["folder"] == str(house.folder / "bundles" / first["checksum"])
    assert (Path(first["folder"]) / "disc" / "weights.safetensors").read_text() == "weights 0"
    assert house.promote(2)
    assert house.version == "2"


def test_nothing_is_written_while_the_alias_stays_nor_by_a_follower_that_was_restarted(house: House) -> None:
    house.promote(1)
    before = (house.folder / "current.json").stat()
    house.now += 1000
    assert house.follower.check() is False
    house.fresh().check()
    after = (house.folder / "current.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_broken_bundle_keeps_the_old_one_and_is_written_down(house: House) -> None:
    house.promote(1)
    house.store.broken = {"2"}
    assert house.promote(2) is False
    assert house.version == "1"
    said = rejected(house.folder)
    assert said is not None
    assert (said["version"], said["reason"]) == ("2", "version 2 is damaged")
    assert said["checksum"] == house.store.made[1].checksum
    assert said["time"].startswith("2001-09-09")


def test_a_broken_bundle_is_tried_again_later_and_then_forgotten(house: House) -> None:
    house.promote(1)
    house.store.broken = {"2"}
    house.promote(2)
    house.store.broken = set()
    assert house.follower.check() is False
    house.now += AGAIN
    assert house.follower.check()
    assert house.version == "2"
    assert rejected(house.folder) is None


def test_a_bundle_damaged_in_the_registry_is_not_served(house: House) -> None:
    house.promote(1)
    (house.folder.parent / "b1" / "disc" / "weights.safetensors").write_text("other")
    assert house.promote(2) is False
    assert house.version == "1"


def test_a_bundle_of_another_task_is_refused(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.follower = Follower(house.store, "ct", house.folder)
    house.store.made = [ModelVersion("ct", "1", house.store.made[0].checksum, house.store.made[0].uri, ())]
    house.store.set_alias("ct", "champion", "1")
    assert house.follower.check() is False
    assert "is for fundus" in str(rejected(house.folder))


def test_a_version_without_a_checksum_is_never_fetched(house: House) -> None:
    house.promote(1)
    house.store.made.append(ModelVersion("fundus", "7", "", str(house.folder.parent / "b1"), ()))
    assert house.promote(7) is False
    assert house.version == "1"
    assert Path(current(house.folder)["folder"]).is_dir()  # type: ignore[index]


def test_old_bundles_go_but_never_the_one_that_is_named(house: House) -> None:
    for version in range(1, 7):
        house.promote(version)
    named = [house.store.made[i].checksum for i in (3, 4, 5)]
    assert sorted(place.name for place in (house.folder / "bundles").iterdir()) == sorted(named)
    house.promote(4)  # a rollback to the oldest that is left
    house.promote(1)
    kept = {place.name for place in (house.folder / "bundles").iterdir()}
    assert kept == {house.store.made[i].checksum for i in (5, 3, 0)}
    assert Path(current(house.folder)["folder"]).is_dir()  # type: ignore[index]


def test_leftovers_of_a_killed_follower_are_removed(house: House) -> None:
    scratch = house.folder / "bundles" / ".fetch-abc"
    scratch.mkdir()
    (scratch / "half").write_text("x")
    house.promote(1)
    house.fresh()
    assert not scratch.exists()
    assert Path(current(house.folder)["folder"]).is_dir()  # type: ignore[index]


def test_a_registry_that_is_down_changes_nothing_is_mentioned_once_and_is_followed_when_it_is_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    house.promote(1)
    house.store.down = True
    stopping = threading.Event()
    thread = threading.Thread(target=house.follower.run, args=(stopping, 0.01))
    asked = house.store.asked
    thread.start()
    try:
        _until(lambda: house.store.asked >= asked + 4)
        assert house.version == "1"
        house.store.set_alias("fundus", "champion", "2")
        house.store.down = False
        _until(lambda: house.version == "2")
    finally:
        stopping.set()
        thread.join(60)
    assert not thread.is_alive()
    said = [record.message for record in caplog.records if "registry" in record.message]
    assert len(said) == 2
    assert "cannot be used" in said[0]
    assert "answers again" in said[1]


def test_a_full_disk_is_no_reason_to_reject_the_bundle(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.promote(1)

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(house.store, "fetch", full)
    with pytest.raises(OutsideServiceError, match="No space left"):
        house.promote(2)
    assert (house.version, rejected(house.folder)) == ("1", None)
    monkeypatch.undo()
    assert house.follower.check()


def test_a_damaged_current_file_is_written_anew(house: House) -> None:
    house.promote(1)
    (house.folder / "current.json").write_text("{")
    assert current(house.folder) is None
    house.fresh().check()
    assert json.loads((house.folder / "current.json").read_text())["version"] == "1"
    shutil.rmtree(house.folder / "bundles")
    house.fresh().check()
    assert Path(current(house.folder)["folder"]).is_dir()  # type: ignore[index]


def _until(look: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not look():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_champion_that_the_segmenter_cannot_answer_with_is_followed_and_says_so(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house.promote(1)
    assert "unserved" not in (current(house.folder) or {})
    write_bundle(tmp_path / "stacked", "weights", slices=5)
    made = house.store.register(tmp_path / "stacked", "fundus")
    assert house.promote(int(made.version))
    assert "neighbouring slices" in (current(house.folder) or {})["unserved"]
    assert rejected(house.folder) is None
    assert f"version {made.version} is not served by the segmenter" in caplog.text


def test_a_challenger_is_fetched_beside_the_champion_and_forgotten_with_its_alias(house: House) -> None:
    rival = Follower(house.store, "fundus", house.folder, alias="challenger", clock=lambda: house.now)
    file = house.folder / "challenger.json"
    assert rival.check() is False
    assert not file.exists()
    house.promote(1)
    house.store.set_alias("fundus", "challenger", "2")
    assert rival.check()
    assert json.loads(file.read_text())["version"] == "2"
    assert house.version == "1", "the champion is another file"
    for version in (3, 4, 5, 6):
        house.now += 1
        house.promote(version)
    assert Path(json.loads(file.read_text())["folder"]).is_dir(), "old as it is, it answers"
    house.store.broken.add("1")
    house.store.set_alias("fundus", "challenger", "1")
    assert rival.check() is False
    assert "damaged" in json.loads((house.folder / "challenger-rejected.json").read_text())["reason"]
    assert rejected(house.folder) is None
    del house.store.aliases["challenger"]
    rival.check()
    assert not file.exists()
    assert not (house.folder / "challenger-rejected.json").exists()
    assert house.version == "6"
