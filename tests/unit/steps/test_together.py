"""One network for disc and cup, through every step, on simulated patients."""

import json
from pathlib import Path

import data_kit
import evaluation_kit
import learning_kit
import numpy as np
import pytest
from learning_kit import Untracked

from parfocal import models
from parfocal.core import bundle, manifest, scores
from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Split
from parfocal.inference.predictor import Predictor
from parfocal.memory.buffer import Memory
from parfocal.phantoms.photograph import case
from parfocal.preprocessing.shards import read_arrays
from parfocal.steps import course, evaluate, retrain, together, train
from parfocal.steps.remembering import logits_of

FRAME = ("recipe.one_frame=true", "data.reader=phantom", "static_augmentation.copies=1")
TOGETHER = (
    "recipe.one_frame=true",
    "train.together=true",
    "model.width=8",
    "train.steps=100",
    "train.batch_size=8",
    "train.validate_every=25",
    "evaluate.overlays=0",
    "evaluate.resamples=200",
)
TASK = ("disc", "cup")


def phantoms(folder: Path, camera: str, first: int, count: int) -> Path:
    folder.mkdir()
    (folder / "phantom.json").write_text(json.dumps({"instrument": camera, "patients": [first, count]}))
    return folder


def fit(folder: Path, out: Path, *overrides: str, run: Untracked | None = None) -> Path:
    train.run(
        [folder], out, out.with_name(out.name + "-memory"), learning_kit.config(*TOGETHER, *overrides),
        state=out.parent / "state", key=out.name, run=run or Untracked(), reporter=data_kit.Notes(),
    )  # fmt: skip
    return out


def teach(dataset: Path, champion: Path, out: Path, *overrides: str, notes: data_kit.Notes) -> Path:
    retrain.run(
        dataset, champion, out, out.with_name(out.name + "-memory"),
        learning_kit.config(*TOGETHER, "train.together=false", *overrides, instrument="B"),
        state=out.parent / "state", key=out.name, run=Untracked(), reporter=notes,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset a of camera A, all structures in one frame, and a network that learned it."""
    folder = tmp_path_factory.mktemp("together")
    data_kit.dataset(phantoms(folder / "photos-a", "A", 0, 20), folder / "a", *FRAME)
    fit(folder / "a", folder / "first")
    return folder


def test_one_network_is_trained_exported_and_named_by_both_structures(place: Path) -> None:
    disc, cup = (read_arrays(place / "a", name, Split.TRAIN) for name in ("disc", "cup"))
    assert disc is not None
    assert cup is not None
    assert np.array_equal(disc.image, cup.image)
    spec = bundle.read(place / "first")
    assert {name: (model.folder, model.channels) for name, model in spec.structures.items()} == {
        "disc": ("together", (1, 2)),
        "cup": ("together", (2,)),
    }
    assert all(model.runtimes["openvino"].agreement >= 0.998 for model in spec.structures.values())
    networks = [name for name in manifest.read(place / "first").files if name.endswith("weights.safetensors")]
    assert networks == ["together/weights.safetensors"]


def test_the_network_runs_once_a_picture_and_draws_disc_and_cup(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(place / "first")
    calls = []
    network = predictor._networks.of("disc", "")
    assert predictor._networks.of("cup", "") is network
    described = type(network).described
    monkeypatch.setattr(type(network), "described", lambda self, x: calls.append(1) or described(self, x))
    found = predictor.predict(case("A", 500, 0).image)
    assert len(calls) == 1
    assert found.boxes["cup"] == found.boxes["disc"]
    assert (found.probabilities["cup"] <= found.probabilities["disc"]).all()
    assert not (found.masks["cup"] & ~found.masks["disc"]).any()


def test_it_finds_discs_and_cups_of_patients_that_it_has_not_seen(place: Path) -> None:
    predictor = Predictor(place / "first")
    dice: dict[str, list[float]] = {"disc": [], "cup": []}
    for patient in range(500, 505):
        eye = case("A", patient, 0)
        for name, found in predictor.predict(eye.image).masks.items():
            true = eye.masks[name] > 0
            dice[name].append(2 * (found & true).sum() / (found.sum() + true.sum()))
    assert np.mean(dice["disc"]) > 0.6
    assert np.mean(dice["cup"]) > 0.4


def test_cross_entropy_over_the_classes_can_be_named(place: Path, tmp_path: Path) -> None:
    run = Untracked()
    fit(place / "a", tmp_path / "m", "train.loss=cross_entropy", "train.steps=2", run=run)
    assert 0 < run.logged["together/loss/cross_entropy"] < 3
    assert "together/dice/A" in run.logged


def test_every_structure_is_judged_as_ever(place: Path, tmp_path: Path) -> None:
    evaluate.run(
        place / "first", tmp_path / "judged", learning_kit.config(*TOGETHER), champion=None,
        ledger=evaluation_kit.Ledger(), run=Untracked(), reporter=data_kit.Notes(),
    )  # fmt: skip
    judged = scores.Evaluation.model_validate_json((tmp_path / "judged" / scores.EVALUATION).read_text())
    assert {score.structure for score in judged.scores["challenger"]} == {"disc", "cup"}
    assert set(judged.agreement) == {"disc", "cup"}


@pytest.mark.parametrize(
    "overrides",
    [
        ("retrain.strategy.name=replay", "retrain.selection=important-diverse"),
        ("retrain.strategy.name=finetune", "retrain.train.steps=2"),
    ],
    ids=["replay", "finetune"],
)
def test_it_learns_another_camera_whose_cups_nobody_drew(
    place: Path, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    photos = data_kit.source(tmp_path / "photos-b", data_kit.patients(8, "q"), cups=False, seed=3)
    data_kit.dataset(photos, tmp_path / "b", FRAME[0], instrument="B", champion=place / "first")
    notes = data_kit.Notes()
    made = teach(tmp_path / "b", place / "first", tmp_path / "next", *overrides, notes=notes)
    spec = bundle.read(made)
    assert {model.folder for model in spec.structures.values()} == {"together"}
    assert spec.instruments == ("A", "B")
    assert any(note.startswith("cup: not labelled in this dataset") for note in notes.notes)
    weights = "together/weights.safetensors"
    assert manifest.read(made).files[weights] != manifest.read(place / "first").files[weights]
    memory = Memory.read(Path(spec.memory_uri))
    assert set(memory.arrays("disc")) == {"A", "B"}
    assert set(memory.arrays("cup")) == {"A"}
    before = Memory.read(place / "first-memory")
    for name in ("disc", "cup"):
        assert memory.arrays(name)["A"].case_ids == before.arrays("disc")["A"].case_ids


def test_dark_experience_keeps_and_uses_what_one_network_said_of_every_exemplar(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all classes, for structures that were drawn in other cases too; and no more than so many cases in all."""
    photos = data_kit.source(tmp_path / "photos-b", data_kit.patients(8, "q"), cups=False, seed=3)
    data_kit.dataset(photos, tmp_path / "b", FRAME[0], instrument="B", champion=place / "first")
    asked = ("retrain.strategy.name=derpp", "retrain.train.steps=2", "retrain.exemplars_in_all=5")
    made = teach(tmp_path / "b", place / "first", tmp_path / "next", *asked, notes=data_kit.Notes())
    memory = Memory.read(Path(bundle.read(made).memory_uri))
    cases = {name: {who: set(arrays.case_ids) for who, arrays in memory.arrays(name).items()} for name in TASK}
    assert {name: set(memory.logits(name)) for name in TASK} == {"disc": {"A", "B"}, "cup": {"A"}}
    assert cases["cup"]["A"] == cases["disc"]["A"]
    assert len(cases["disc"]["A"]) + len(cases["disc"]["B"]) == 5
    classes = together.classes_in(bundle.read(made), learning_kit.config())
    assert classes is not None
    kept, past = together.logits_of(memory, classes), together.rehearsed(memory, classes)
    network = models.load(place / "first" / "together")
    assert np.abs(kept["A"] - logits_of(network, past["A"].image)).max() < 0.05, "what the champion said of its own"
    network = models.load(made / "together")
    assert np.abs(kept["B"] - logits_of(network, past["B"].image)).max() < 0.05
    for name, of in cases.items():
        for who in of:
            assert memory.logits(name)[who].shape == (len(of[who]), classes.count, 32, 32)

    told = []
    monkeypatch.setattr(course, "learn", lambda lesson, *_: told.append(lesson) or (_ for _ in ()).throw(Stop))
    with pytest.raises(Stop):
        teach(tmp_path / "b", made, tmp_path / "again", *asked, notes=data_kit.Notes())
    for who in ("A", "B"):
        np.testing.assert_array_equal(told[0].logits[who], kept[who])
        assert len(told[0].past[who]) == len(kept[who])


class Stop(Exception):
    """As far as it is needed."""


def test_a_bounded_memory_of_one_network_counts_each_case_once(place: Path, tmp_path: Path) -> None:
    """The cups of B are not drawn; bounded structure by structure the cup would keep more of A than the disc."""
    photos = data_kit.source(tmp_path / "photos-b", data_kit.patients(8, "q"), cups=False, seed=3)
    data_kit.dataset(photos, tmp_path / "b", FRAME[0], instrument="B", champion=place / "first")
    asked = ("retrain.strategy.name=finetune", "retrain.train.steps=1", "retrain.exemplars_in_all=4")
    made = teach(tmp_path / "b", place / "first", tmp_path / "next", *asked, notes=data_kit.Notes())
    memory = Memory.read(Path(bundle.read(made).memory_uri))
    found = {(who, case) for name in TASK for who, arrays in memory.arrays(name).items() for case in arrays.case_ids}
    assert len(found) == 4


def test_frames_of_their_own_are_refused_with_what_to_do(tmp_path: Path) -> None:
    data_kit.dataset(data_kit.source(tmp_path / "photos", data_kit.patients(16)), tmp_path / "a")
    with pytest.raises(DataContractError, match="frames of their own") as error:
        fit(tmp_path / "a", tmp_path / "m", "recipe.one_frame=false")
    assert "recipe.one_frame=true" in error.value.next
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("train.objective.name=adversarial", "for one structure"),
        ("train.synthetic.share=0.3", "outermost structure alone"),
        ("model.options={out_channels: 2}", "not 3 classes"),
    ],
)
def test_what_one_network_cannot_do_is_refused_before_anything_is_trained(
    place: Path, tmp_path: Path, override: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        fit(place / "a", tmp_path / "m", override)
    assert not (tmp_path / "m").exists()


def test_labels_of_one_structure_alone_are_refused(tmp_path: Path) -> None:
    photos = data_kit.source(tmp_path / "photos", data_kit.patients(16), cups=False)
    data_kit.dataset(photos, tmp_path / "a", FRAME[0])
    with pytest.raises(DataContractError, match="labels of disc alone"):
        fit(tmp_path / "a", tmp_path / "m")


def test_a_champion_with_a_network_a_structure_is_not_put_together() -> None:
    apart = {name: StructureModel(folder=name) for name in ("disc", "cup")}
    spec = Bundle(task="fundus", structures=apart, recipe={}, instruments=("A",), datasets=())
    assert together.classes_in(spec, learning_kit.config()) is None
    with pytest.raises(UsageError, match="network a structure"):
        together.classes_in(spec, learning_kit.config("retrain.train.together=true"))


def test_the_segmenter_loads_and_answers_with_it(place: Path) -> None:
    from parfocal_serving.segmenter import answer, champion

    checksum = manifest.read(place / "first").checksum
    made = champion.load(place / "first", "fundus", "1", checksum, "auto")
    assert made.runtime == "openvino"
    eye = case("A", 500, 0)
    found = made.predictor.predict(eye.image)
    assert set(answer.structures(found)) == {"disc", "cup"}
    assert 0 < (answer.ratios(found.masks)["cdr"] or 0) < 1
    black = np.zeros_like(eye.image)
    nothing = made.predictor.predict(black)
    if not nothing.masks["disc"].any():
        assert "empty-cup" not in answer.quality(black, nothing, made.predictor.bundle)
