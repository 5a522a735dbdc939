"""What strategies leave in a bundle and in a memory, and who stays out after a purge."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import data_kit
import learning_kit
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from parfocal.cli import parfocal
from parfocal.core import bundle, manifest
from parfocal.core.errors import UsageError
from parfocal.core.task import Structure
from parfocal.core.types import Split
from parfocal.inference.config import SegmentConfig
from parfocal.inference.predictor import Predictor
from parfocal.memory.buffer import Memory
from parfocal.memory.sampler import Sampler, Source
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import course, reference, retrain, segment, unlabelled
from parfocal.steps.config import RunConfig
from parfocal.steps.drawing import Drawer
from parfocal.steps.learning import Learner
from parfocal.steps.lesson import refuse_other_strategy

QUICK = ("retrain.train.steps=2", "retrain.train.validate_every=2")


@pytest.fixture(scope="module", autouse=True)
def without_exports() -> Iterator[None]:
    """The weights answer: exporting takes longer than all else here, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parfocal.steps.learning.export_agreeing", lambda *_, **__: ({}, {}))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("strategies")
    learning_kit.second(made)
    return made


def test_instruments_keep_their_networks_and_the_predictor_takes_the_declared_ones(
    folder: Path, tmp_path: Path
) -> None:
    learning_kit.challenge(folder, folder / "norms", *QUICK, "retrain.strategy.name=instrument_norm", key="norms")
    spec = bundle.read(folder / "norms")
    first, after = manifest.read(folder / "first").files, manifest.verify(folder / "norms").files
    for structure in ("disc", "cup"):
        own = spec.structures[structure].by_instrument
        assert set(own) == {"A"}
        for name in ("weights.safetensors", "model.json", "openvino.bin"):
            if f"{structure}/{name}" in first:
                assert after[f"{own['A'].folder}/{name}"] == first[f"{structure}/{name}"], "to the byte"
        before, now = (load_file(folder / name / structure / "weights.safetensors") for name in ("first", "norms"))
        assert any((before[name] != now[name]).any() for name in before)
    image = data_kit.picture(3)
    predictor, champion = Predictor(folder / "norms"), Predictor(folder / "first")
    predictor.warm(1)

    def disc(found: object) -> np.ndarray:
        return found.probabilities["disc"]  # type: ignore[attr-defined,no-any-return]

    np.testing.assert_array_equal(disc(predictor.predict(image, "A")), disc(champion.predict(image)))
    assert (disc(predictor.predict(image, "B")) != disc(champion.predict(image))).any()
    for unknown in ("", "C"):
        np.testing.assert_array_equal(disc(predictor.predict(image, unknown)), disc(predictor.predict(image, "B")))
    for said, meant in (("A", "A"), ("", "B")):
        drawer = Drawer(folder / "norms", spec, SegmentConfig(instrument=said))
        np.testing.assert_array_equal(disc(drawer._cascade(image)[1]), disc(predictor.predict(image, meant)))
    file = data_kit.write(tmp_path / "eye.png", image)
    with pytest.raises(UsageError, match="has not learned Z"):
        segment.run(
            folder / "norms", [file], tmp_path / "out", RunConfig.parse({"segment": {"instrument": "Z"}}),
            reporter=data_kit.Notes(),
        )  # fmt: skip


def test_the_newest_is_the_last_instrument_that_a_network_had_labels_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the importance of its weights to that instrument would never enter what ewc carries."""
    champion = bundle.read(folder / "first")
    later = champion.datasets[0].model_copy(update={"instrument": "C"})
    before = champion.model_copy(update={"datasets": (*champion.datasets, later)})
    monkeypatch.setattr(course, "learn", lambda lesson, *_: lesson)
    retraining = course.Course(folder / "b", folder / "first", before, (), None, None)  # type: ignore[arg-type]
    pictures = Memory.read(folder / "first-memory").arrays("cup")
    past = course.Rehearsal(pictures, dict)
    taught = retraining.teach("cup", pictures["A"], champion.structures["cup"], Memory(), past, {})
    assert taught[0].newest == "A"


def test_checkpoints_of_another_strategy_are_refused(tmp_path: Path) -> None:
    asked = [learning_kit.config(f"retrain.strategy.name={name}") for name in ("ewc", "ewc", "lwf")]
    for config in asked[:2]:
        refuse_other_strategy(tmp_path, config)
    with pytest.raises(UsageError, match="made with another strategy"):
        refuse_other_strategy(tmp_path, asked[2])
    with pytest.raises(UsageError, match="made with another strategy"):
        refuse_other_strategy(tmp_path, learning_kit.config("retrain.strategy={name: ewc, strength: 3}"))


def test_logits_are_kept_beside_the_exemplars_of_a_full_memory(folder: Path) -> None:
    asked = ("retrain.strategy.name=derpp", "retrain.selection=reservoir", "retrain.exemplars_in_all=5")
    learning_kit.challenge(folder, folder / "dark", *QUICK, *asked, key="dark")
    memory = Memory.read(folder / "dark-memory")
    assert {name: len(arrays) for name, arrays in memory.arrays("disc").items()} == {"A": 3, "B": 2}
    kept = memory.kept("disc", "B")
    assert kept is not None
    assert kept.seen > 4
    for structure in ("disc", "cup"):
        assert set(memory.logits(structure)) == {"A", "B"}
        for name, arrays in memory.arrays(structure).items():
            assert memory.logits(structure)[name].shape == (len(arrays), 1, 32, 32)


def test_importance_travels_with_the_memory_and_not_with_the_bundle(folder: Path) -> None:
    asked = ("retrain.strategy.name=ewc", "retrain.selection=gradient-norm")
    learning_kit.challenge(folder, folder / "elastic", *QUICK, *asked, key="elastic")
    carried = Memory.read(folder / "elastic-memory").carried["disc"]
    weights = load_file(folder / "elastic" / "disc" / "weights.safetensors")
    assert {name: values.shape for name, values in carried.items()}.items() <= {
        name: values.shape for name, values in weights.items()
    }.items()
    mean = sum(values.sum() for values in carried.values()) / sum(values.size for values in carried.values())
    assert mean == pytest.approx(1.0, rel=1e-4)
    assert not [name for name in manifest.read(folder / "elastic").files if "carried" in name]


def test_adapting_takes_pictures_that_nobody_labelled_as_the_champion_frames_them(folder: Path, tmp_path: Path) -> None:
    photos = data_kit.source(tmp_path / "photos", data_kit.patients(8, "u"), seed=9)
    for number in range(3):
        data_kit.write(photos / "unlabelled" / f"x{number}.png", data_kit.picture(500 + number))
    data_kit.dataset(photos, tmp_path / "u", instrument="U", champion=folder / "first")
    tested = read_dataset(tmp_path / "u").on(Split.TEST)[0].patient
    data_kit.write(photos / "unlabelled" / "x3.png", data_kit.picture(503))
    names = [*data_kit.patients(8, "u"), "x0", "x1", "x2"]
    lines = ["name,patient", *(f"{name},{name}" for name in names), f"x3,{tested}"]
    (photos / "cases.csv").write_text("\n".join(lines) + "\n")
    data_kit.dataset(photos, tmp_path / "v", instrument="U", champion=folder / "first")
    assert len(read_dataset(tmp_path / "v").unlabelled) == 4
    assert len(unlabelled.frames(tmp_path / "v", folder / "first")["disc"]) == 3, "one is of a test patient"
    found = unlabelled.frames(tmp_path / "u", folder / "first")
    assert len(found["disc"]) == 3
    assert (found["disc"].mask == 255).all()
    recipe = read_dataset(tmp_path / "u").recipe
    box = recipe.box(Structure("disc"), 60, 80)
    assert box is not None
    np.testing.assert_array_equal(found["disc"].image[0], recipe.frame(data_kit.picture(500), box))
    retrain.run(
        tmp_path / "u", folder / "first", tmp_path / "adapted", tmp_path / "memory",
        learning_kit.config("retrain.strategy.name=bn_adapt", instrument="U"), state=tmp_path, key="adapted",
        run=learning_kit.Untracked(), reporter=data_kit.Notes(),
    )  # fmt: skip
    before, after = (load_file(at / "disc" / "weights.safetensors") for at in (folder / "first", tmp_path / "adapted"))
    moved = {name.rpartition(".")[2] for name in before if (before[name] != after[name]).any()}
    assert {"running_mean", "running_var"} <= moved <= {"running_mean", "running_var", "num_batches_tracked"}
    spec = bundle.read(tmp_path / "adapted")
    assert [one.unlabelled for one in spec.datasets] == [False, True]
    assert unlabelled.learned(spec.datasets) == {case.patient for case in read_dataset(tmp_path / "u").unlabelled}
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        observe = reference._observe
        patch.setattr(reference, "_observe", lambda *a, **k: seen.append(a[3].id) or observe(*a, **k))
        for number, name in enumerate(("replay", "bn_adapt")):  # what an earlier retrain has seen stays seen
            retrain.run(
                folder / "b" if name == "replay" else tmp_path / "v", tmp_path / "adapted", tmp_path / name,
                tmp_path / f"memory-{number}",
                learning_kit.config(f"retrain.strategy.name={name}", *QUICK, instrument="B"), state=tmp_path, key=name,
                run=learning_kit.Untracked(), reporter=data_kit.Notes(),
            )  # fmt: skip
            assert not {"U-x0", "U-x1", "U-x2"} & set(seen), "a picture that was learned from"
            assert any(case.startswith("U-u") for case in seen), "held-out cases"
            seen.clear()
    assert [one.unlabelled for one in bundle.read(tmp_path / "replay").datasets] == [False, True, False]


def command(*words: str) -> str:
    found = CliRunner().invoke(parfocal, ["memory", *words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def untouched(folder: Path) -> Iterator[Path]:
    """Its first memory is as before afterwards."""
    shutil.copytree(folder / "first-memory", folder / "kept")
    yield folder
    shutil.rmtree(folder / "first-memory")
    (folder / "kept").rename(folder / "first-memory")


def test_a_purged_patient_stays_out_of_the_next_retrain(untouched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By joint training, which reads more than the memory."""
    folder, trained, sampler = untouched, [], Learner.sampler

    def recorded(self: Learner, sources: Sequence[Source]) -> Sampler:
        trained.extend(case for source in sources for case in source.arrays.case_ids)
        return sampler(self, sources)

    monkeypatch.setattr(Learner, "sampler", recorded)
    kept = json.loads(command("show", "--patients", "--json", str(folder / "first")))
    assert kept["kept"]["disc"]["A"]["pictures"] == 4
    owner = {case.id: case.patient for name in "ab" for case in read_dataset(folder / name).cases}
    gone = [kept["patients"]["A"][0], read_dataset(folder / "b").on(Split.TRAIN)[0].patient]
    for patient in gone:
        assert "where it was" in command("purge", str(folder / "first"), "--patient", patient)
    learning_kit.challenge(folder, folder / "after", *QUICK, "retrain.strategy.name=joint", key="after")
    learned_from = {owner[case] for case in trained}
    memory = Memory.read(folder / "after-memory")
    patients = {patient for own in memory.patients.values() for patient in own.values()}
    assert {patient[0] for patient in learned_from & patients} == {"p", "q"}, "patients of both instruments"
    assert not (learned_from | patients) & set(gone)
    assert len(memory.purges) == 2, "the record goes on"
    assert memory.purges[0].date
    text = command("show", str(folder / "after"))
    assert "patient SHA-256" in text
    assert gone[0] not in text


def test_a_purge_beside_says_how_the_bundle_finds_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "purged"
    before = manifest.read(folder / "first-memory").checksum
    text = command("purge", str(folder / "first"), "--instrument", "A", "--out", str(out))
    assert f"mv '{out}' '{(folder / 'first-memory').resolve()}'" in text
    assert manifest.verify(folder / "first-memory", "memory").checksum == before
    assert Memory.read(out).arrays("disc") == {}
    assert manifest.read(out).parents[-1].checksum == before


def test_a_purge_is_of_one_or_the_other(folder: Path) -> None:
    for words in ((), ("--instrument", "A", "--patient", "x")):
        found = CliRunner().invoke(parfocal, ["memory", "purge", str(folder / "first"), *words])
        assert "one instrument or of one patient" in str(found.exception)
