"""Pretraining from images or points, and training that starts from it."""

import json
from pathlib import Path

import data_kit
import learning_kit
import pytest
import torch
from learning_kit import Untracked
from safetensors.torch import load_file

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task
from parfocal.core.types import Split
from parfocal.models import transfer
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import preprocess, pretrain, sides, train
from parfocal.training import pretrained

QUICK = ("pretrain.steps=6", "pretrain.batch_size=4", "pretrain.validate_every=3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 16 labelled and 5 unlabelled photographs, two of them with a centre alone."""
    folder = tmp_path_factory.mktemp("pretrain")
    photos = data_kit.source(folder / "photos", data_kit.patients(16))
    for i, name in enumerate(data_kit.patients(5, "u")):
        data_kit.write(photos / "unlabelled" / f"{name}.png", data_kit.picture(500 + i))
    for i, name in enumerate(data_kit.patients(2, "w")):
        data_kit.write(photos / "images" / f"{name}.png", data_kit.picture(600 + i))
    lines = ["name,patient,disc_x,disc_y", "w00,w00,40,30", "w01,w01,41,29"]
    lines += [f"{name},{name},," for name in (*data_kit.patients(16), *data_kit.patients(5, "u"))]
    (photos / "cases.csv").write_text("\n".join(lines) + "\n")
    data_kit.dataset(photos, folder / "a")
    return folder


def make(
    folder: Path, out: Path, *overrides: str, key: str = "k", state: Path | None = None, run: Untracked | None = None
):
    settings = learning_kit.config(*QUICK, *overrides)
    return pretrain.run(
        [folder / "a"], out, settings, state=state or out.parent / "state", key=key, run=run or Untracked(),
        reporter=data_kit.Notes(),
    )  # fmt: skip


def fit(folder: Path, out: Path, start: Path | None, *overrides: str) -> Path:
    train.run(
        [folder / "a"], out, out.with_name(out.name + "-memory"), learning_kit.config(*overrides),
        state=out.parent / "state", key=out.name, run=Untracked(), reporter=data_kit.Notes(), pretrained=start,
    )  # fmt: skip
    return out


def test_restoration_learns_from_every_training_image_and_from_none_that_is_held_out(
    folder: Path, tmp_path: Path
) -> None:
    run = Untracked()
    made = make(folder, tmp_path / "p", run=run)
    found = pretrained.read(tmp_path / "p")
    dataset = read_dataset(folder / "a")
    labelled = sum("disc" in case.masks for case in dataset.on(Split.TRAIN))
    copies = found.images["A"] - len(dataset.unlabelled)
    assert copies % labelled == 0, "training frames, with their static copies, and the unlabelled ones"
    assert len(dataset.unlabelled) == 5
    assert (found.objective, found.task) == ("restore", "fundus")
    assert [parent.kind for parent in made.parents] == ["dataset"]
    assert 0 < run.logged["pretrain/score"] <= 1


def test_a_patient_who_is_tested_here_was_not_learned_from_there(folder: Path, tmp_path: Path) -> None:
    """Unlabelled pictures of held-out patients stay out, and another deal of the same patients is refused."""
    dealt = learning_kit.config("split.key=another", *QUICK)
    preprocess.run(folder / "photos", tmp_path / "a", dealt, champion=None, reporter=data_kit.Notes())
    make(tmp_path, tmp_path / "p")
    with pytest.raises(DataContractError, match="are held out here and learned from"):
        fit(folder, tmp_path / "m", tmp_path / "p")
    with pytest.raises(DataContractError, match="are held out here and learned from"):
        sides.refuse_two([folder / "a", tmp_path / "a"], [folder / "a"])
    whole = read_dataset(folder / "a").unlabelled
    config = learning_kit.config()
    structure = task("fundus").structures[0]
    left = pretrain._unlabelled(folder / "a", structure, config, {whole[0].patient})
    assert left is not None
    assert len(left) == len(whole) - 1


def test_localisation_learns_from_centres_with_and_without_a_mask(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "p", "pretrain.objective.name=localize")
    found = pretrained.read(tmp_path / "p")
    sides = [case for case in read_dataset(folder / "a").on(Split.TRAIN) if case.masks or case.points]
    assert found.images["A"] >= len(sides)
    spec = json.loads((tmp_path / "p" / "model.json").read_text())
    assert spec["name"] == "localizer"


def test_a_pretraining_that_was_stopped_goes_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    whole = make(folder, tmp_path / "whole" / "p", "pretrain.checkpoint_every=1")

    class Stop(data_kit.Notes):
        def progress(self, stage: str, done: int, total: int) -> None:
            if stage == "pretrain" and done == 4:
                raise KeyboardInterrupt

    settings = learning_kit.config(*QUICK, "pretrain.checkpoint_every=1")
    rest = {"state": tmp_path / "state", "key": "k", "run": Untracked()}
    with pytest.raises(KeyboardInterrupt):
        pretrain.run([folder / "a"], tmp_path / "p", settings, reporter=Stop(), **rest)
    assert not (tmp_path / "p").exists()
    resumed = pretrain.run([folder / "a"], tmp_path / "p", settings, reporter=data_kit.Notes(), **rest)
    assert resumed.files["weights.safetensors"] == whole.files["weights.safetensors"]


@pytest.mark.parametrize("objective", ["restore", "localize"])
def test_a_frozen_encoder_is_the_pretrained_one_to_the_bit_and_its_origin_is_told(
    folder: Path, tmp_path: Path, objective: str
) -> None:
    made = make(folder, tmp_path / "p", f"pretrain.objective.name={objective}")
    out = fit(folder, tmp_path / "m", tmp_path / "p", "train.encoder.freeze=true")
    before = load_file(tmp_path / "p" / "weights.safetensors")
    for structure, model in bundle.read(out).structures.items():
        origin = model.pretrained
        assert origin is not None
        assert (origin.checksum, origin.objective, origin.frozen) == (made.checksum, objective, True)
        after = load_file(out / structure / "weights.safetensors")
        encoder = transfer.encoder_names(pretrain.models.load(out / structure))
        assert encoder
        assert all(torch.equal(before[name], after[name]) for name in encoder)
        assert any(not torch.equal(before[name], after[name]) for name in before.keys() & after.keys() - set(encoder)) \
            or objective == "localize"  # fmt: skip
    assert made.checksum in {parent.checksum for parent in manifest.read(out).parents}


def test_part_of_the_depth_may_be_taken_and_learns_on(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "p")
    out = fit(
        folder, tmp_path / "m", tmp_path / "p", "train.encoder.levels=1", "train.steps=1", "train.learning_rate=1e-12"
    )
    before, after = (load_file(place / "weights.safetensors") for place in (tmp_path / "p", out / "disc"))
    names = [
        name for name in before if name.startswith("down.") and name.endswith("weight") and before[name].dim() == 4
    ]
    close = {name.split(".")[1]: torch.allclose(before[name], after[name], atol=1e-6) for name in names}
    assert close == {"0": True, "1": False, "2": False}


def test_another_depth_or_objective_or_folder_is_refused_with_what_was_expected(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "p")
    with pytest.raises(DataContractError, match="weight") as error:
        fit(folder, tmp_path / "m", tmp_path / "p", "model.width=7")
    assert "width" in error.value.next
    with pytest.raises(DataContractError, match="not a pretrained"):
        fit(folder, tmp_path / "m", folder / "a")
    with pytest.raises(UsageError, match="not one for pretraining"):
        make(folder, tmp_path / "q", "pretrain.objective.name=segment")
    with pytest.raises(UsageError, match="gives no masks"):
        fit(folder, tmp_path / "m", None, "train.objective.name=restore")
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "q").exists()


def test_points_are_asked_for_where_there_are_none(tmp_path: Path) -> None:
    photos = data_kit.source(tmp_path / "photos", data_kit.patients(16))
    for mask in (photos / "disc").glob("*.png"):
        mask.unlink()
    data_kit.dataset(photos, tmp_path / "a")
    with pytest.raises(DataContractError, match="centre points of disc"):
        make(tmp_path, tmp_path / "p", "pretrain.objective.name=localize")


def test_pairs_that_a_cycle_made_thicken_the_outermost_structures_batches(folder: Path, tmp_path: Path) -> None:
    small = ("pretrain.objective.name=cycle", "pretrain.objective.width=4", "pretrain.objective.blocks=1")
    make(folder, tmp_path / "p", *small)
    assert (tmp_path / "p" / "translator" / "weights.safetensors").is_file()
    plain = fit(folder, tmp_path / "m", tmp_path / "p", "train.encoder.levels=0", "train.steps=2")
    more = ("train.encoder.levels=0", "train.steps=2", "train.synthetic.share=0.5", "train.synthetic.pictures=6")
    thick = fit(folder, tmp_path / "n", tmp_path / "p", *more)
    files = [manifest.read(place).files for place in (plain, thick)]
    same = {name: len({one[f"{name}/weights.safetensors"] for one in files}) == 1 for name in ("disc", "cup")}
    assert same == {"disc": False, "cup": True}
    make(folder, tmp_path / "q", key="other")
    with pytest.raises(DataContractError, match="no way back"):
        fit(folder, tmp_path / "o", tmp_path / "q", *more)
