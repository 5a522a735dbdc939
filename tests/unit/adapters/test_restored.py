"""Folders that were restored from an older copy beside a newer ledger and a newer monitor: what they lack is named."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parfocal_serving.monitor.annotate.leases import ACCEPTED, OUT
from parfocal_serving.monitor.database import connect as monitor
from parfocal_serving.monitor.schema import ANNOTATIONS, RUNS
from promotion_kit import MemoryStore, Recorder, better, first, settings, write_dataset, write_evaluation

from parfocal.adapters import checks, restored
from parfocal.adapters.database import SqlLedger
from parfocal.adapters.settings import Settings
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, DatasetRef, StructureModel
from parfocal.core.reporting import Silent
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import Arrays
from parfocal.steps import promote, purge
from parfocal.steps.config import RunConfig

RUN = {
    "task": "fundus", "pipeline": "p", "arguments": "{}", "state": "succeeded", "run_id": "r", "outcome": "promote",
    "decided": 1.0, "ended": 3.0, "error": "",
}  # fmt: skip
CASE = {
    "task": "fundus", "reading": 0, "instrument": "B", "patient": "p", "side": "train", "annotator": "Ada",
    "token": "", "until": 1.0, "offered": 1.0, "ended": 1.0, "shown": False, "why": "{}", "draft": "", "draft_by": "",
    "proposal": "", "masks": "", "agreement": "{}",
}  # fmt: skip


class House:
    """An installation whose state folder is the volume; the databases are elsewhere, as on a cluster."""

    def __init__(self, root: Path) -> None:
        self.root, self.volume = root, root / "volume"
        self.volume.mkdir()
        self.settings: Settings = settings(root).model_copy(update={"state": self.volume})
        self.store, self.ledger = MemoryStore(), SqlLedger(self.settings.ledger_url)
        self.champion = ""

    def promote(self, *instruments: str) -> None:
        """A model that has learned these instruments, the last one anew."""
        number = len(instruments)
        write_dataset(self.volume / f"dataset-{instruments[-1]}", instruments[-1])
        memory(instruments[-1]).write(self.volume / f"memory-{number}")
        folders = {name: self.volume / f"dataset-{name}" for name in instruments}
        spec = Bundle(
            task="fundus", structures={"disc": StructureModel(folder="disc")}, recipe={}, instruments=instruments,
            datasets=tuple(
                DatasetRef(instrument=name, uri=str(place), checksum=manifest.read(place).checksum)
                for name, place in folders.items()
            ),
            memory_uri=str(self.volume / f"memory-{number}"),
        )  # fmt: skip
        bundle = self.root / f"bundle-{number}"
        with manifest.new_folder(bundle, "bundle") as scratch:
            (scratch / BUNDLE).write_text(spec.model_dump_json())
        made = manifest.read(bundle).checksum
        values = better(made, self.champion) if self.champion else first(made)
        judged, out = write_evaluation(self.root / f"judged-{number}", values), self.root / f"out-{number}"
        more: dict[str, Any] = {"store": self.store, "ledger": self.ledger, "run": Recorder(), "reporter": Silent()}
        promote.run(judged, bundle, out, RunConfig.parse({}), key=f"k{number}", **more)
        self.champion = made

    def experience(self, number: int, *cases: str, launched: float | None = 2.0) -> None:
        """Cases that were accepted on the page, closed into an experience; without a launch they wait for one."""
        where = f"experiences/fundus/B/{number}" if launched else "labelled/fundus/B"
        folder = self.volume / where / "images"
        folder.mkdir(parents=True)
        for case in cases:
            (folder / f"{case}.png").write_bytes(b"")
        database = monitor(self.settings.database_url)
        with database.write() as connection:
            run = {**RUN, "key": f"r{number}", "instrument": "B", "number": number, "launched": launched}
            connection.execute(RUNS.insert(), run)
            rows = [{**CASE, "case_id": case, "state": ACCEPTED} for case in cases]
            connection.execute(ANNOTATIONS.insert(), [*rows, {**CASE, "case_id": f"out-{number}", "state": OUT}])
        database.close()

    def lost(self) -> set[tuple[str, str]]:
        found = restored.look(self.settings, ledger=True)
        return {(one.name.replace(str(self.volume), ""), str(one.state)) for one in found if one.state != "here"}

    def said(self) -> checks.Check:
        return restored.check(self.settings, ledger=True)


def memory(instrument: str) -> Memory:
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    kept = Arrays(image=picture, mask=picture[..., 0], case_ids=("c1",))
    return Memory().with_exemplars(instrument, "disc", kept, {"c1": "p1"})


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.promote("A")
    made.experience(1, "one", "two")
    shutil.copytree(made.volume, tmp_path / "copy")
    made.promote("A", "B")
    made.experience(2, "three")
    made.experience(3, "four", launched=None)
    return made


def test_with_everything_in_its_place_nothing_is_said(house: House) -> None:
    assert house.lost() == set()
    assert (house.said().level, house.said().says[:6]) == ("ok", "all 9 ")


def test_what_an_older_copy_lacks_is_named(house: House, tmp_path: Path) -> None:
    shutil.rmtree(house.volume)
    shutil.copytree(tmp_path / "copy", house.volume)
    assert house.lost() == {
        ("dataset of B (/dataset-B)", "missing"),
        ("exemplar memory of fundus version 2 (/memory-2)", "missing"),
        ("experience 2 of B", "missing"),
        ("case three of B", "missing"),
        ("case four of B", "missing"),
    }
    said = house.said()
    assert said.level == "fail" and "case four of B" in said.says and "older copy" in said.next
    assert [one.level for one in checks.every(house.settings) if one.name == "learned"] == ["fail"]


def test_a_folder_that_is_another_is_told_from_one_that_is_gone(house: House) -> None:
    shutil.rmtree(house.volume / "dataset-B")
    write_dataset(house.volume / "dataset-B", "C")
    (house.volume / "memory-2" / "manifest.json").unlink()
    assert {state for _, state in house.lost()} == {"other"}
    assert "which is another" in house.said().says


def test_a_purge_since_the_promotion_is_no_loss(house: House) -> None:
    purge.run([house.volume / "memory-2"], patient="p1")
    assert house.lost() == set()


def test_where_the_volume_is_not_nothing_is_called_lost_for_good(house: House) -> None:
    shutil.rmtree(house.volume)
    assert house.said().level == "warn" and "look where the volume" in house.said().next


def test_an_installation_without_a_record_has_lost_nothing(tmp_path: Path) -> None:
    said = restored.check(settings(tmp_path), ledger=False)
    assert (said.level, said.says) == ("ok", "nothing is on record yet")
    assert not list(tmp_path.iterdir())
