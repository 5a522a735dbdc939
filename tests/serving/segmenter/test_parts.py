"""What is pure or small enough to be looked at without a service."""

import hmac
import os
import stat
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import promotion_kit
import pytest
import serving_kit as kit
from parfocal_serving.segmenter import answer
from parfocal_serving.segmenter.capture import Capture
from parfocal_serving.segmenter.champion import Champion, Champions, Rejected, load
from parfocal_serving.segmenter.patients import SECRET, load_secret, pseudonym

from parfocal import models
from parfocal.core import manifest
from parfocal.core.bundle import Bundle, OwnNetwork, StructureModel
from parfocal.core.errors import DataContractError
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.roi import Box

BUNDLE = Bundle(
    task="fundus",
    structures={"disc": StructureModel(folder="disc"), "cup": StructureModel(folder="cup", inside="disc")},
    recipe={},
    instruments=("A",),
    datasets=(),
)
FRAME = Box(24, 32, 216, 288)


def disc(radius: int, x: int = 160, y: int = 120) -> np.ndarray:
    return cv2.circle(np.zeros((240, 320), np.uint8), (x, y), radius, 1, -1).astype(bool)


def flags(image: np.ndarray, found_disc: np.ndarray, found_cup: np.ndarray) -> list[str]:
    boxes = {"disc": FRAME, "cup": FRAME if found_disc.any() else None}
    return answer.quality(image, Prediction({"disc": found_disc, "cup": found_cup}, boxes, {}), BUNDLE)


NOTHING = np.zeros((240, 320), bool)


def test_a_good_photograph_has_no_flag() -> None:
    assert flags(kit.picture(), disc(30), disc(12)) == []


@pytest.mark.parametrize(
    ("found_disc", "found_cup", "flag"),
    [
        (NOTHING, NOTHING, "empty-disc"),
        (disc(30), NOTHING, "empty-cup"),
        (disc(30), disc(29), "cup-fills-disc"),
        (disc(30, x=FRAME.left + 5) & (np.arange(320) >= FRAME.left), disc(5, x=50), "disc-touches-edge"),
    ],
)
def test_what_was_found_is_flagged_where_it_is_odd(found_disc: np.ndarray, found_cup: np.ndarray, flag: str) -> None:
    assert flags(kit.picture(), found_disc, found_cup) == [flag]


def test_a_black_picture_has_no_field_and_a_flat_one_no_contrast() -> None:
    dark = np.full((240, 320, 3), 5, np.uint8)
    assert flags(dark, disc(30), disc(12)) == ["field-not-found"]
    grey = np.full((240, 320, 3), 90, np.uint8)
    assert flags(grey, disc(30), disc(12)) == ["low-contrast"]


def test_without_a_disc_there_is_no_ratio_and_without_a_cup_it_is_zero() -> None:
    assert answer.ratios({"disc": NOTHING, "cup": NOTHING}) == {"cdr": None, "vertical_cdr": None}
    assert answer.ratios({"disc": disc(30), "cup": NOTHING}) == {"cdr": 0.0, "vertical_cdr": 0.0}
    assert answer.ratios({"lung": disc(30)}) == {"cdr": None, "vertical_cdr": None}


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_a_pseudonym_is_what_the_standard_library_says_whatever_the_key(length: int) -> None:
    for patient in ("", "Ada", "ü" * 100, "Ada"):
        wanted = hmac.new(bytes(range(length)), patient.encode(), "sha256").hexdigest()
        assert pseudonym(bytes(range(length)), patient) == wanted


def test_a_pseudonym_is_the_hmac_of_rfc_4231() -> None:
    assert pseudonym(b"Jefe", "what do ya want for nothing?").startswith("5bdcc146bf60754e6a042426089575c7")


def test_the_secret_is_made_once_however_many_workers_start_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        found.append(load_secret("", tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) == 64
    assert stat.S_IMODE((tmp_path / SECRET).stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == [f".{SECRET}.lock", SECRET]
    assert load_secret("configured", tmp_path) == b"configured"
    (tmp_path / SECRET).write_bytes(b"\xff\xfe given")
    (tmp_path / f".{SECRET}.lock").unlink()
    assert load_secret("", tmp_path) == b"\xff\xfe given"
    assert [file.name for file in tmp_path.iterdir()] == [SECRET], "one that is there is only read"
    (tmp_path / SECRET).write_text("")
    with pytest.raises(DataContractError, match="empty"):
        load_secret("", tmp_path)


def test_capture_keeps_a_fraction_without_metadata_and_deletes_old_days(tmp_path: Path) -> None:
    days = tmp_path / "captured" / "fundus"
    for name in ("2026-01-01", "2026-01-30", "notes"):
        (days / name).mkdir(parents=True)
    half = Capture(tmp_path, "fundus", 0.5, 30)
    half.prune(date(2026, 2, 1))
    assert sorted(folder.name for folder in days.iterdir()) == ["2026-01-30", "notes"]
    half.start()
    image = kit.picture()
    low, high = "00000000aaaa", "ffffffffaaaa"
    reference = half.keep(image, low)
    assert half.keep(image, high) is None
    half.stop()
    half._thread.join(60)
    assert reference is not None
    kept = tmp_path / reference
    np.testing.assert_array_equal(cv2.imread(str(kept)), image)
    assert kept.name == f"{low}.png"
    assert b"eXIf" not in kept.read_bytes()


@pytest.mark.parametrize(("hours", "left"), [((1, 30), 0), ((1, 9999), 3), ((9999, 9999), 3)])
def test_capture_deletes_by_a_clock_that_went_evenly_for_a_day_and_by_no_other(
    tmp_path: Path, hours: tuple[int, int], left: int
) -> None:
    days, now = tmp_path / "captured" / "fundus", time.time()
    for day, ago in zip((3, 2, 1), (*hours, 20_000), strict=True):
        folder = days / f"2020-01-0{day}"
        folder.mkdir(parents=True)
        os.utime(folder, (now - 3600 * ago,) * 2)
    capture = Capture(tmp_path, "fundus", 0.5, 30)
    capture.start()
    capture.stop()
    capture._thread.join(60)
    assert len(list(days.iterdir())) == left


def test_capture_skips_what_a_slow_disk_cannot_take(tmp_path: Path) -> None:
    stuck = Capture(tmp_path, "fundus", 1.0, 30)  # its thread was never started
    references = [stuck.keep(kit.picture(), f"{i:08x}") for i in range(20)]
    assert [reference is not None for reference in references] == [True] * 8 + [False] * 12


class Watched:
    def __init__(self, folder: Path) -> None:
        self.swaps: list[tuple[str, str]] = []
        self.rejected: list[Rejected] = []
        self.champions = Champions(
            folder / "serving" / "fundus", "fundus", "auto", swapped=self.swap, refused=self.rejected.append
        )

    def swap(self, old: Champion | None, new: Champion) -> None:
        self.swaps.append((old.version if old else "", new.version))


def test_a_champion_that_went_and_came_back_is_not_loaded_again_and_says_since_when(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    kit.promote(tmp_path, kit.bundle(tmp_path / "one"), "1")
    watched.champions.check()
    first = watched.champions.current
    assert first is not None
    file = tmp_path / "serving" / "fundus" / "current.json"
    manifest.write_atomic(file, file.read_text().replace(first.since, "later"))
    watched.champions.check()
    again = watched.champions.current
    assert again is not None
    assert (again.since, again.folder) == ("later", tmp_path / "one")
    assert again.predictor is first.predictor
    assert watched.swaps == [("", "1")]


def test_a_champion_that_cannot_be_loaded_is_tried_once_until_it_moves(tmp_path: Path) -> None:
    good = kit.bundle(tmp_path / "good")
    watched = Watched(tmp_path)
    watched.champions.check()
    assert watched.champions.current is None
    kit.promote(tmp_path, good, "1")
    watched.champions.check()
    watched.champions.check()
    (tmp_path / "serving" / "fundus" / "current.json").write_text("{")
    for _ in range(3):
        watched.champions.check()
    assert len(watched.rejected) == 1
    assert watched.champions.current is not None
    kit.promote(tmp_path, good, "2")
    watched.champions.check()
    assert watched.swaps == [("", "1"), ("1", "2")]
    assert watched.champions.rejected is None
    os.utime(tmp_path / "serving" / "fundus" / "current.json")
    watched.champions.check()
    assert len(watched.swaps) == 2, "the same champion, written again, is not loaded again"


def test_a_champion_is_warmed_with_its_tasks_pictures_and_every_instrument_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion for CT was refused: it was warmed with a fundus photograph."""
    network = models.ModelConfig(depth=1, width=4).spec()
    own = {"B": OwnNetwork(folder="bone-b")}
    spec = Bundle(
        task="bone", structures={"bone": StructureModel(folder="bone", by_instrument=own)}, instruments=("A", "B"),
        recipe=CtRecipe(size=32).model_dump(mode="json"), datasets=(),
    )  # fmt: skip
    with manifest.new_folder(tmp_path / "b", "bundle") as scratch:
        for name in ("bone", "bone-b"):
            models.save(models.build(network.name, network.parameters), network, scratch / name)
        (scratch / "bundle.json").write_text(spec.model_dump_json())
    asked: list[str] = []
    predict = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, image, who="": asked.append(who) or predict(self, image, who)
    )
    load(tmp_path / "b", "bone", "1", manifest.read(tmp_path / "b").checksum, "pytorch")
    assert set(asked) == {"", "B"}


@pytest.mark.parametrize("network", [{"slices": 5}, {"objective": "interact"}], ids=["slices", "clicks"])
def test_a_champion_for_volumes_or_clicks_is_said_to_be_not_served_and_who_answered_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, network: dict[str, object]
) -> None:
    kit.promote(tmp_path, kit.bundle(tmp_path / "good"), "1")
    watched = Watched(tmp_path)
    watched.champions.check()
    promotion_kit.write_bundle(tmp_path / "odd", "not even weights", **network)
    kit.promote(tmp_path, tmp_path / "odd", "2")
    watched.champions.check()
    assert watched.champions.current is not None
    assert watched.champions.current.version == "1"
    assert not watched.rejected, "it is no failure"
    assert watched.champions.rejected is not None
    assert watched.champions.rejected.reason.startswith("not served here: its networks")
    assert "champion 2 is not served here" in caplog.text
    kit.promote(tmp_path, tmp_path / "good", "3")
    watched.champions.check()
    assert watched.champions.rejected is None


@pytest.mark.parametrize(("task", "says"), [("lung", "task"), ("fundus", "another bundle")])
def test_a_folder_that_is_not_what_was_named_is_refused(tmp_path: Path, task: str, says: str) -> None:
    good, other = kit.bundle(tmp_path / "good"), kit.bundle(tmp_path / "other", 1)
    kit.promote(tmp_path, good, "1")
    file = tmp_path / "serving" / "fundus" / "current.json"
    if task == "fundus":
        file.write_text(file.read_text().replace(str(good), str(other)))
    watched = Watched(tmp_path)
    watched.champions._task = task
    watched.champions.check()
    assert watched.champions.current is None
    assert says in watched.rejected[0].reason or task == "lung"


PROGRAM = """
import sys, time
from pathlib import Path
import serving_kit as kit
from parfocal_serving.segmenter import service
worker = service.Worker(service.SETTINGS)
worker.champions.check()
worker.segment(worker.champions.current, kit.jpeg(kit.picture()), "A", "Ada", time.perf_counter())
print("answered by", worker.champions.current.runtime)
print([name for name in ("torch", "mlflow", "kfp", "sqlalchemy", "kubernetes") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("runtime", "loaded"), [("openvino", "[]"), ("pytorch", "['torch']")], ids=["openvino", "pytorch"]
)
def test_only_the_runtime_that_answers_is_imported(tmp_path: Path, runtime: str, loaded: str) -> None:
    kit.promote(tmp_path, kit.bundle(tmp_path / "bundle"), "1")
    environment = {
        **os.environ,
        "PARFOCAL_STATE": str(tmp_path),
        "PARFOCAL_SEGMENTER_RUNTIME": runtime,
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "PYTHONPATH": str(Path(kit.__file__).parent),
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [f"answered by {runtime}", loaded]
