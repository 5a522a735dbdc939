from pathlib import Path

import data_kit
import learning_kit
import pytest
from learning_kit import Untracked
from safetensors.numpy import load_file

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.memory.buffer import Memory
from parfocal.steps import retrain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retrain")


def test_a_challenger_knows_both_instruments_and_its_parent(folder: Path) -> None:
    learning_kit.challenge(folder, folder / "next")
    spec = bundle.read(folder / "next")
    assert spec.instruments == ("A", "B")
    assert [ref.instrument for ref in spec.datasets] == ["A", "B"]
    assert spec.parent is not None
    assert spec.parent.checksum == manifest.read(folder / "first").checksum
    assert spec.strategy == "replay"
    kinds = [parent.kind for parent in manifest.read(folder / "next").parents]
    assert kinds == ["bundle", "dataset", "dataset"]


def test_the_memory_keeps_the_old_exemplars_and_gains_the_new(folder: Path) -> None:
    learning_kit.challenge(folder, folder / "remembers")
    before = Memory.read(folder / "first-memory").arrays("disc")
    after = Memory.read(folder / "remembers-memory").arrays("disc")
    assert set(after) == {"A", "B"}
    assert after["A"].case_ids == before["A"].case_ids
    assert len(after["B"]) == 4


def test_the_network_moved_and_the_champion_did_not(folder: Path) -> None:
    sealed = manifest.read(learning_kit.first(folder)).checksum
    learning_kit.challenge(folder, folder / "moved", "retrain.strategy.name=finetune", key="moved")
    assert manifest.verify(folder / "first").checksum == sealed
    before, after = (load_file(folder / name / "disc" / "weights.safetensors") for name in ("first", "moved"))
    assert any((before[name] != after[name]).any() for name in before)
    assert bundle.read(folder / "moved").strategy == "finetune"


def test_a_structure_without_labels_is_carried_over_byte_for_byte(tmp_path: Path) -> None:
    learning_kit.first(tmp_path)
    learning_kit.second(tmp_path, cups=False)
    learning_kit.challenge(tmp_path, tmp_path / "next", "retrain.strategy.name=finetune")
    before, after = manifest.read(tmp_path / "first").files, manifest.read(tmp_path / "next").files
    assert {name: sum for name, sum in before.items() if name.startswith("cup/")} == {
        name: sum for name, sum in after.items() if name.startswith("cup/")
    }
    assert before["disc/weights.safetensors"] != after["disc/weights.safetensors"]


def test_what_was_tried_between_champion_and_retrained_is_logged(folder: Path) -> None:
    run = Untracked()
    learning_kit.challenge(folder, folder / "logged", run=run)
    assert 0 <= run.logged["disc/interpolation"] <= 1


def test_a_corrupt_champion_is_refused_and_the_file_named(folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(learning_kit.first(folder), tmp_path / "broken")
    (tmp_path / "broken" / "disc" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(DataContractError, match=r"weights\.safetensors"):
        retrain.run(
            learning_kit.second(folder), tmp_path / "broken", tmp_path / "out", tmp_path / "memory",
            learning_kit.config(instrument="B"), state=tmp_path, key="k", run=Untracked(), reporter=data_kit.Notes(),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_an_unknown_strategy_suggests_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'replay'"):
        learning_kit.config("retrain.strategy.name=replai")


def test_a_network_that_looks_at_images_alone_is_not_taught_clicks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="answer clicks"):
        learning_kit.challenge(tmp_path, tmp_path / "next", "retrain.train.objective.name=interact")
