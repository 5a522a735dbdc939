"""A three-dimensional network on phantoms of the prostate: volumes in, a label volume in the source's space out."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from data_kit import Notes
from evaluation_kit import Ledger
from learning_kit import Untracked

from parfocal import models, phantoms
from parfocal.cli.segment import segment
from parfocal.core import bundle, scores
from parfocal.core.bundle import REFERENCE
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.scores import Evaluation
from parfocal.core.types import Split
from parfocal.evaluation.frozen import frozen_cases
from parfocal.inference.predictor import Predictor
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import read_arrays, read_dataset
from parfocal.steps import evaluate, neighbours, preprocess, retrain, train
from parfocal.steps.config import RunConfig

pytest.importorskip("monai")
sitk = pytest.importorskip("SimpleITK")

DEPTH, SLICES = 4, 7
NETWORK = "{network: UNet, dimensions: 3, slices: 4, options: {channels: [8, 16, 32], strides: [2, 2], norm: batch}}"
GENTLE = "{rotation: 10, shift: 0.05, zoom: [0.9, 1.1], flip_vertical: false}"
SETTINGS = (
    "task=prostate", "data.reader=phantom", "recipe.name=mr", "recipe.size=32", "recipe.bias_correction=false",
    "model.name=monai", f"model.options={NETWORK}", "train.steps=90", "train.batch_size=4", "train.validate_every=30",
    f"train.augment={GENTLE}", "train.learning_rate=0.01", "train.precision=32-true", "retrain.train.steps=6",
    "retrain.train.batch_size=4", "retrain.train.validate_every=3", "retrain.train.precision=32-true",
    "retrain.exemplars=3", "evaluate.latency_images=2", "evaluate.overlays=1",
)  # fmt: skip


def config(*overrides: str) -> RunConfig:
    return RunConfig.load(overrides=[*SETTINGS, *overrides])


def cut(
    folder: Path, out: Path, scanner: str, patients: tuple[int, int], *overrides: str, champion: Path | None = None
) -> Path:
    folder.mkdir()
    recipe = {"instrument": scanner, "patients": patients, "slices": SLICES}
    (folder / "phantom.json").write_text(json.dumps(recipe))
    preprocess.run(folder, out, config(*overrides), champion=champion, reporter=Notes())
    return out


def taught(dataset: Path, out: Path, *overrides: str, notes: Notes | None = None) -> Path:
    memory, state = out.with_name(out.name + "-memory"), out.with_name("state")
    train.run([dataset], out, memory, config(*overrides), state=state, key=out.name, run=Untracked(),
              reporter=notes or Notes())  # fmt: skip
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with static copies, and a bundle."""
    folder = tmp_path_factory.mktemp("volumes")
    cut(folder / "source", folder / "data", "P", (0, 20))
    notes = Notes()
    taught(folder / "data", folder / "model", notes=notes)
    (folder / "notes.txt").write_text("\n".join(notes.notes))
    return folder


def test_a_dataset_says_of_every_slice_which_one_of_which_volume_it_is(place: Path) -> None:
    cases = read_dataset(place / "data").cases
    assert {case.slice.volume for case in cases} == {f"P-P{i:04d}" for i in range(20)}
    assert [case.slice.number for case in cases[:SLICES]] == list(range(SLICES))
    arrays = read_arrays(place / "data", "prostate", Split.VALIDATION)
    assert arrays is not None
    assert [f"{volume}-{number:03d}" for volume, number in arrays.slices] == list(arrays.case_ids)


def test_a_bundle_says_how_many_slices_its_network_sees_and_what_was_left_out_is_told(place: Path) -> None:
    model = bundle.read(place / "model").structures["prostate"]
    assert model.slices == DEPTH == models.slices_of(models.load(place / "model" / "prostate"))
    assert not (place / "model" / REFERENCE).exists()
    notes = (place / "notes.txt").read_text()
    assert "frames are in no stack: static copies of single slices" in notes
    assert "no drift reference" in notes


def test_it_learns_and_every_frozen_slice_is_scored_as_it_is_answered_in_its_volume(place: Path) -> None:
    evaluate.run(place / "model", place / "scored", config(), champion=None, ledger=Ledger(), run=Untracked(),
                 reporter=Notes())  # fmt: skip
    found = Evaluation.model_validate_json((place / "scored" / scores.EVALUATION).read_text())
    cases = frozen_cases([place / "data"])
    assert [score.case for score in found.scores["challenger"]] == [case.case.id for case in cases]
    dice = {name: np.mean([score.metrics["dice"] for score in values]) for name, values in found.scores.items()}
    assert dice["challenger"] > dice["constant"] + 0.03
    slices = neighbours.volume_of(cases[0], cases)
    assert len(slices) == SLICES
    masks = list(Predictor(place / "model").predict_volume([one.read_image() for one in slices]))
    for one, prediction, score in zip(slices, masks, found.scores["challenger"], strict=False):
        truth, mask = one.read_masks()["prostate"], prediction.masks["prostate"]
        assert score.metrics["dice"] == pytest.approx(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def scan(file: Path) -> np.ndarray:
    """A volume that keeps its voxels in another order than slices show them; its slices as they are shown."""
    made = phantoms.volume("prostate", "P", 50, 0, SLICES)
    image = sitk.GetImageFromArray(np.ascontiguousarray(made.image[:, ::-1, ::-1]))
    image.SetSpacing((made.spacing[2], made.spacing[1], made.spacing[0]))
    image.SetOrigin((3.0, -4.0, 5.0))
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, str(file))
    return made.pictures


def test_a_volume_is_labelled_on_its_own_voxels_from_the_command_line(place: Path, tmp_path: Path) -> None:
    pictures = scan(tmp_path / "scan.nii.gz")
    words = [str(tmp_path / "scan.nii.gz"), "--model", str(place / "model"), "--out", str(tmp_path / "out"), "--quiet"]
    done = CliRunner().invoke(segment, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    source, written = (sitk.ReadImage(str(tmp_path / name)) for name in ("scan.nii.gz", "out/scan-labels.nii.gz"))
    for of in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(written, of)(), getattr(source, of)(), atol=1e-5)
    answers = Predictor(place / "model").predict_volume(list(pictures))
    masks = np.stack([answer.masks["prostate"] for answer in answers])
    assert masks.any()
    assert np.array_equal(sitk.GetArrayFromImage(written), masks[:, ::-1, ::-1])


def test_a_slices_answer_changes_when_its_neighbour_does_and_not_when_a_far_slice_does(place: Path) -> None:
    predictor = Predictor(place / "model")
    pictures = list(phantoms.volume("prostate", "P", 51, 0, 12).pictures)
    one = [prediction.probabilities["prostate"] for prediction in predictor.predict_volume(pictures)]
    changed = [*pictures[:11], pictures[11][::-1].copy()]  # seen in the stacks 6..9 and 8..11
    other = [prediction.probabilities["prostate"] for prediction in predictor.predict_volume(changed)]
    differs = [not np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
    assert differs == [False] * 8 + [True] * 4


def test_one_picture_is_refused_and_never_answered_without_its_neighbours(place: Path) -> None:
    predictor = Predictor(place / "model")
    case = frozen_cases([place / "data"])[0]
    with pytest.raises(DataContractError, match="looks at 4 slices of a volume together"):
        predictor.predict(case.read_image())
    with pytest.raises(DataContractError, match="looks at 4 slices"):
        predictor.warm()
    with pytest.raises(DataContractError, match="all of one size"):
        list(predictor.predict_volume([case.read_image(), case.read_image()[:-1]]))
    out = place / "photograph"
    with pytest.raises(DataContractError, match="looks at 4 slices"):
        CliRunner().invoke(segment, [str(case.image), "--model", str(place / "model"), "--out", str(out)],
                           catch_exceptions=False)  # fmt: skip


def test_a_second_scanner_is_learned_with_whole_stacks_of_the_first_in_memory(place: Path) -> None:
    kept = Memory.read(place / "model-memory").arrays("prostate")["P"]
    assert len(kept) == 3 * DEPTH
    numbers = [number for _, number in kept.slices[:DEPTH]]
    assert numbers == list(range(numbers[0], numbers[0] + DEPTH))
    champion = place / "model"
    cut(place / "source-q", place / "data-q", "Q", (100, 8), champion=champion)
    retrain.run(place / "data-q", champion, place / "next", place / "next-memory", config(), state=place / "state",
                key="next", run=Untracked(), reporter=Notes())  # fmt: skip
    made = bundle.read(place / "next")
    assert made.instruments == ("P", "Q")
    assert made.structures["prostate"].slices == DEPTH
    assert Memory.read(place / "next-memory").arrays("prostate").keys() == {"P", "Q"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.objective.name=adversarial", "is for pictures"),
        ("retrain.selection=important-diverse", "no features"),
        ("model.options={network: UNet, dimensions: 3, slices: 6, options: {channels: [4, 8, 16], strides: [2, 2]}}",
         "stacks of 6 slices(?s:.*)multiple of 4"),
        ("model.options={network: VNet, dimensions: 3, slices: 8}", "stacks of 8 slices(?s:.*)multiple of 16"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_a_step_is_taken(
    place: Path, tmp_path: Path, setting: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        taught(place / "data", tmp_path / "model", setting)
    assert not (tmp_path / "model").exists()


def test_photographs_have_no_neighbours_to_learn_from(tmp_path: Path) -> None:
    folder = cut(tmp_path / "source", tmp_path / "lungs", "M", (0, 8), "task=lung", "recipe={name: chest, size: 32}")
    with pytest.raises(DataContractError, match="no slice of a volume"):
        taught(folder, tmp_path / "model", "task=lung", "recipe={name: chest, size: 32}")
