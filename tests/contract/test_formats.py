"""Folders that earlier programs wrote are still read; what a later one wrote is refused in words.

`formats/*.zip` were written by the programs of their time, of the same twelve pictures: never make them anew, add one.
"""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.inference.predictor import Predictor
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import read_arrays, read_dataset

EVERY = sorted((Path(__file__).parent / "formats").glob("*.zip"))


@pytest.fixture(params=EVERY, ids=lambda file: file.stem)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(request.param) as packed:
        packed.extractall(tmp_path)
    return tmp_path


def test_there_is_a_folder_of_every_form() -> None:
    assert len(EVERY) >= 4


def test_an_earlier_bundle_is_read_and_answers(earlier: Path) -> None:
    made = bundle.read(earlier / "bundle")
    assert (list(made.structures), made.instruments, made.unserved) == (["disc", "cup"], ("A",), "")
    image = cv2.imread(str(earlier / "dataset" / "images" / "A-p00.png"))
    masks = Predictor(earlier / "bundle").predict(image, "A").masks
    assert {name: mask.shape for name, mask in masks.items()} == {"disc": (30, 40), "cup": (30, 40)}


def test_an_earlier_dataset_is_read(earlier: Path, request: pytest.FixtureRequest) -> None:
    manifest.verify(earlier / "dataset", "dataset")
    made = read_dataset(earlier / "dataset")
    assert len(made.cases) == 12 and made.unlabelled == ()
    sides = [read_arrays(earlier / "dataset", "disc", side) for side in Split]
    assert sum(len(side) for side in sides if side is not None) == 12
    unknown = "first" in request.node.name  # points came with the second form
    for side in sides:
        assert side is not None and side.image.dtype == np.uint8
        assert np.isnan(side.points).all() if unknown else np.isfinite(side.points).all()


def test_an_earlier_memory_is_read_purged_and_written_as_todays(earlier: Path) -> None:
    read = Memory.read(earlier / "memory")
    (kept,) = read.arrays("disc").values()
    patient = read.patients["A"][kept.case_ids[0]]
    read.purge_patient(patient).write(earlier / "purged")
    left = Memory.read(earlier / "purged").arrays("disc")
    assert len(kept) == 2 and len(left["A"]) == 1


@pytest.mark.parametrize(("place", "file"), [
    ("bundle", "bundle.json"), ("dataset", "dataset.json"), ("memory", "exemplars.json"),
])  # fmt: skip
@pytest.mark.parametrize("change", [{"schema_version": 2}, {"later": True}])
def test_what_a_later_program_wrote_is_refused_in_words(
    tmp_path: Path, place: str, file: str, change: dict[str, object]
) -> None:
    with zipfile.ZipFile(EVERY[-1]) as packed:
        packed.extractall(tmp_path)
    folder = tmp_path / place
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **change}))
    manifest.seal(folder, place)
    said = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**said, "code_version": "7.0"}))
    read = {"bundle": bundle.read, "dataset": read_dataset, "memory": Memory.read}[place]
    with pytest.raises(DataContractError, match=f"{file} was written by a later program") as raised:
        read(folder)
    assert ("format 2" if "schema_version" in change else "'later'") in raised.value.what
    assert raised.value.next == "install the program that wrote it: parfocal==7.0"
