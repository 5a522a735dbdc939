from pathlib import Path

import data_kit
import learning_kit
import pytest
from learning_kit import Untracked

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


def test_a_bundle_has_a_network_a_structure_its_export_and_where_it_came_from(folder: Path) -> None:
    run = Untracked()
    made = learning_kit.first(folder, run=run)
    spec = bundle.read(made)
    assert list(spec.structures) == ["disc", "cup"]
    assert spec.structures["cup"].inside == "disc"
    for name, structure in spec.structures.items():
        assert structure.runtimes["openvino"].agreement >= 0.998
        assert {
            f"{name}/{file}" for file in ("weights.safetensors", "model.json", "openvino.xml", "openvino.bin")
        } <= set(manifest.read(made).files)
    assert [ref.checksum for ref in spec.datasets] == [manifest.read(folder / "a").checksum]
    assert [parent.kind for parent in manifest.read(made).parents] == ["dataset"]
    assert run.logged["disc/agreement/openvino-f16"] >= 0.998


def test_the_memory_holds_training_cases_only_and_no_more_than_its_bound(folder: Path) -> None:
    spec = bundle.read(learning_kit.first(folder))
    training = {case.id for case in read_dataset(folder / "a").on(Split.TRAIN)}
    memory = Memory.read(Path(spec.memory_uri))
    for structure in ("disc", "cup"):
        (kept,) = memory.arrays(structure).values()
        assert len(set(kept.case_ids)) == len(kept.case_ids) == 4
        assert set(kept.case_ids) <= training


def test_the_same_inputs_and_seed_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    learning_kit.first(folder)
    args = {"state": tmp_path / "state", "key": "again", "run": Untracked(), "reporter": data_kit.Notes()}
    train.run([folder / "a"], tmp_path / "again", tmp_path / "memory", learning_kit.config(), **args)
    weights = "disc/weights.safetensors"
    assert manifest.read(tmp_path / "again").files[weights] == manifest.read(folder / "first").files[weights]
    assert manifest.read(tmp_path / "memory").checksum == manifest.read(folder / "first-memory").checksum


def test_a_structure_that_nobody_labelled_has_no_network(tmp_path: Path) -> None:
    photos = data_kit.source(tmp_path / "photos", data_kit.patients(16), cups=False)
    data_kit.dataset(photos, tmp_path / "a")
    spec = bundle.read(learning_kit.first(tmp_path))
    assert list(spec.structures) == ["disc"]


def test_a_dataset_of_another_recipe_is_refused_with_its_name(folder: Path, tmp_path: Path) -> None:
    learning_kit.first(folder)
    other = learning_kit.config("recipe.border=0.2")
    args = {"state": tmp_path, "key": "k", "run": Untracked(), "reporter": data_kit.Notes()}
    with pytest.raises(DataContractError, match="another recipe"):
        train.run([folder / "a"], tmp_path / "out", tmp_path / "memory", other, **args)
    assert not (tmp_path / "out").exists()
