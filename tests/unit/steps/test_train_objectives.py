"""Every objective that gives masks, through the step `train`."""

from pathlib import Path

import data_kit
import learning_kit
import numpy as np
import pytest
from learning_kit import Untracked

from parfocal.core import bundle
from parfocal.core.bundle import REFERENCE
from parfocal.core.errors import UsageError
from parfocal.inference.predictor import Predictor
from parfocal.steps import train

FEW = ("train.steps=3", "train.validate_every=3", "train.batch_size=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objectives")
    data_kit.dataset(data_kit.source(folder / "photos", data_kit.patients(16)), folder / "a")
    return folder


def fit(folder: Path, out: Path, *overrides: str, run: Untracked | None = None) -> Path:
    train.run(
        [folder / "a"], out, out.with_name("memory"), learning_kit.config(*FEW, *overrides),
        state=out.parent / "state", key="k", run=run or Untracked(), reporter=data_kit.Notes(),
    )  # fmt: skip
    return out


@pytest.mark.parametrize("objective", ["adversarial", "cycle"])
def test_a_network_trained_against_others_is_an_ordinary_bundle(folder: Path, tmp_path: Path, objective: str) -> None:
    run = Untracked()
    out = fit(folder, tmp_path / "m", f"train.objective.name={objective}", run=run)
    assert {model.objective for model in bundle.read(out).structures.values()} == {objective}
    assert (out / REFERENCE).is_file()
    assert Predictor(out).predict(data_kit.picture(1)).masks["disc"].shape == (60, 80)
    assert any(name.startswith("disc/loss/") for name in run.logged)


def test_a_network_that_answers_clicks_is_exported_with_six_channels_and_kept_out_of_the_cascade(
    folder: Path, tmp_path: Path
) -> None:
    from parfocal.inference.runtimes.openvino import OpenVINORuntime

    out = fit(folder, tmp_path / "m", "train.objective.name=interact", "train.objective.max_clicks=2")
    spec = bundle.read(out)
    assert spec.structures["disc"].objective == "interact"
    assert spec.structures["disc"].runtimes["openvino"].agreement >= 0.998
    answer = OpenVINORuntime(out / "disc")(np.zeros((1, 6, 32, 32), np.float32))
    assert answer.shape == (1, 1, 32, 32)
    assert not (out / REFERENCE).exists()
    with pytest.raises(UsageError, match="clicks"):
        Predictor(out)


@pytest.mark.parametrize("name", ["residual_unet", "monai"])
def test_other_networks_go_the_same_way(folder: Path, tmp_path: Path, name: str) -> None:
    options = (
        ['model.options={"network": "UNet", "options": {"channels": [4, 8], "strides": [2]}}']
        if name == "monai"
        else []
    )
    out = fit(folder, tmp_path / "m", f"model.name={name}", *options)
    assert Predictor(out).predict(data_kit.picture(1)).masks["cup"].shape == (60, 80)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("train.loss=cross_entropy", "several structures"),
        ("model.options={out_channels: 2}", "not one mask"),
        ("model.name=localizer", "not one mask"),
        ("model.name=lgan_critic", "not one mask"),
    ],
)
def test_what_would_draw_no_mask_of_one_structure_is_refused_before_anything_is_trained(
    folder: Path, tmp_path: Path, override: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        fit(folder, tmp_path / "m", override)
    assert not (tmp_path / "m").exists()
