"""The drift reference is made of what no network was trained on, through the export that answers."""

import shutil
from pathlib import Path

import data_kit
import learning_kit
import pytest
from data_kit import Notes, picture, write

from parfocal.core import bundle, manifest
from parfocal.core.bundle import REFERENCE
from parfocal.core.types import Split
from parfocal.drift import reference as drift
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import pretrain, reference, train
from parfocal.steps import unlabelled as plain_pictures


def photos(folder: Path, count: int, unlabelled: int) -> Path:
    data_kit.source(folder, data_kit.patients(count))
    for i in range(unlabelled):
        write(folder / "unlabelled" / f"u{i:02d}.png", picture(5000 + i))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reference")
    data_kit.dataset(photos(made / "photos", 24, 40), made / "a")
    learning_kit.first(made)
    return made


def test_a_bundle_carries_its_reference_under_seal(folder: Path) -> None:
    first = folder / "first"
    assert REFERENCE in manifest.read(first).files
    assert reference.identity(first) == manifest.read(first).files[REFERENCE]
    fitted = drift.read(first / REFERENCE)
    assert fitted.instruments == ("A",)
    assert manifest.sha256(first / "cup" / "weights.safetensors") in fitted.extractor


def test_no_training_patient_is_in_it(folder: Path) -> None:
    dataset = read_dataset(folder / "a")
    used = {case.id for _, _, case in reference._unused([folder / "a"])}
    assert used == {c.id for c in (*dataset.on(Split.VALIDATION), *dataset.on(Split.TEST), *dataset.unlabelled)}
    assert len(used) > 40


def test_a_patient_who_trains_elsewhere_is_left_out(folder: Path, tmp_path: Path) -> None:
    trained = next(iter(read_dataset(folder / "a").on(Split.TRAIN))).patient
    others = photos(tmp_path / "more", 12, 2)
    (others / "cases.csv").write_text(
        "name,patient\n"
        + "".join(f"{name},Q{name}\n" for name in data_kit.patients(12))
        + f"u00,{trained}\nu01,somebody\n"
    )
    data_kit.dataset(others, tmp_path / "b", instrument="B")
    used = {case.id for _, _, case in reference._unused([folder / "a", tmp_path / "b"])}
    assert "B-u01" in used
    assert "B-u00" not in used


def test_it_is_the_same_again_and_says_how_large_it_is(folder: Path, tmp_path: Path) -> None:
    notes = Notes()
    target = tmp_path / "bundle"
    target.mkdir()
    for file in (folder / "first").rglob("*"):
        if file.is_file() and file.name not in (REFERENCE, "manifest.json"):
            copy = target / file.relative_to(folder / "first")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    reference.write(target, [folder / "a"], learning_kit.config().drift, seed=0, reporter=notes)
    assert reference.identity(target) == reference.identity(folder / "first")
    assert any(note.startswith("drift reference: A ") for note in notes.notes)


def test_a_retrain_leaves_a_reference_of_its_own_so_the_detectors_restart(folder: Path, tmp_path: Path) -> None:
    """After a promotion the reference is refitted: other networks, another id, and detectors are named by the id."""
    learning_kit.challenge(folder, tmp_path / "next")
    after = drift.read(tmp_path / "next" / REFERENCE)
    assert manifest.sha256(tmp_path / "next" / "cup" / "weights.safetensors") in after.extractor
    assert after.extractor != drift.read(folder / "first" / REFERENCE).extractor
    assert reference.identity(tmp_path / "next") != reference.identity(folder / "first")


def test_labelled_cases_that_nobody_trained_on_teach_what_predicts_the_dice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, dict[tuple[str, str], dict[str, float]]] = {}
    fit = drift.fit

    def remember(*arguments: object, **named: object) -> object:
        told["dice"] = named["dice"]  # type: ignore[assignment]
        return fit(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(reference.reference, "fit", remember)
    target = tmp_path / "bundle"
    shutil.copytree(folder / "first", target, ignore=shutil.ignore_patterns(REFERENCE, "manifest.json"))
    reference.write(target, [folder / "a"], learning_kit.config().drift, seed=0, reporter=Notes())
    dataset = read_dataset(folder / "a")
    labelled = {("A", case.id) for case in (*dataset.on(Split.VALIDATION), *dataset.on(Split.TEST))}
    assert set(told["dice"]) == labelled, "cases without masks and training cases have no true Dice here"
    assert all(set(dice) == {"disc", "cup"} for dice in told["dice"].values())
    assert all(0 <= value <= 1 for dice in told["dice"].values() for value in dice.values())


def test_what_was_learned_from_without_labels_is_left_out(folder: Path) -> None:
    """Restoration before a training looks at every unlabelled picture; so does the adaptation of statistics."""
    dataset = read_dataset(folder / "a")
    seen = plain_pictures.patients(folder / "a", [folder / "a"])
    assert seen == {case.patient for case in dataset.unlabelled}
    used = {case.id for _, _, case in reference._unused([folder / "a"], seen)}
    assert used == {c.id for c in (*dataset.on(Split.VALIDATION), *dataset.on(Split.TEST))}


@pytest.mark.parametrize(("objective", "seen"), [("restore", True), ("localize", False)])
def test_a_pretrained_network_says_what_its_bundle_has_seen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, seen: bool
) -> None:
    told: list[set[str]] = []
    monkeypatch.setattr(train.reference, "write", lambda *_, learned, **__: told.append(set(learned)))
    config = learning_kit.config(f"pretrain.objective.name={objective}", "pretrain.steps=1", "train.steps=1")
    rest = {"state": tmp_path, "run": learning_kit.Untracked(), "reporter": Notes()}
    pretrain.run([folder / "a"], tmp_path / "p", config, key="p", **rest)  # type: ignore[arg-type]
    train.run(
        [folder / "a"],
        tmp_path / "t",
        tmp_path / "m",
        config,
        key="t",
        pretrained=tmp_path / "p",
        **rest,  # type: ignore[arg-type]
    )
    dataset = read_dataset(folder / "a")
    assert ({case.patient for case in dataset.unlabelled} <= told[0]) is seen
    assert {case.patient for case in dataset.on(Split.TRAIN)} <= told[0]
    assert [one.unlabelled for one in bundle.read(tmp_path / "t").datasets] == [seen]
