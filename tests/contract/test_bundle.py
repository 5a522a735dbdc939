"""bundle.json says everything inference needs, and a bundle that was touched is refused."""

from pathlib import Path

import pytest

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError

SPEC = bundle.Bundle(
    task="fundus",
    structures={
        "disc": bundle.StructureModel(folder="disc"),
        "cup": bundle.StructureModel(
            folder="cup", inside="disc", runtimes={"openvino": bundle.Exported(file="openvino.xml", agreement=0.9997)}
        ),
    },
    recipe={"border": 0.1, "size": 128},
    instruments=("A", "B"),
    datasets=(bundle.DatasetRef(instrument="A", uri="/data/a", checksum="00"),),
    memory_uri="/memory/7",
    parent=bundle.ParentRef(uri="/models/1", checksum="11"),
)


def write(folder: Path, text: str) -> Path:
    with manifest.new_folder(folder, "bundle") as scratch:
        (scratch / bundle.BUNDLE).write_text(text)
    return folder


def test_a_bundle_survives_the_disk_with_its_cascade_in_order(tmp_path: Path) -> None:
    read = bundle.read(write(tmp_path / "b", SPEC.model_dump_json()))
    assert read == SPEC
    assert list(read.structures) == ["disc", "cup"]


def test_an_unknown_key_is_refused_so_that_an_old_reader_never_half_understands(tmp_path: Path) -> None:
    text = SPEC.model_dump_json().replace('"task"', '"future":1,"task"', 1)
    with pytest.raises(DataContractError, match="future"):
        bundle.read(write(tmp_path / "b", text))


def test_a_changed_bundle_is_refused_and_the_file_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "b", SPEC.model_dump_json())
    (folder / bundle.BUNDLE).write_text(SPEC.model_dump_json() + " ")
    with pytest.raises(DataContractError, match=r"bundle\.json"):
        bundle.read(folder)
