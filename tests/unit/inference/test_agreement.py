from pathlib import Path

import numpy as np
import pytest
import torch

from parfocal import models
from parfocal.inference.agreement import agreement, export_agreeing
from parfocal.inference.runtimes import Runtime, network_input
from parfocal.inference.runtimes.openvino import OpenVINORuntime
from parfocal.models import ModelConfig


def frames(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def brighter_than(level: float):
    return lambda batch: (batch[:, :1] > level).astype(np.float32)


def test_equal_masks_agree_fully_and_disjoint_ones_not_at_all() -> None:
    images = frames(3)
    assert agreement(brighter_than(0.5), brighter_than(0.5), network_input(images)) == 1.0
    assert agreement(brighter_than(0.5), lambda batch: 1 - brighter_than(0.5)(batch), network_input(images)) == 0.0


def test_it_is_the_mean_of_dice_by_picture_in_either_order() -> None:
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[0, 0, 0] = 255  # one picture with one bright pixel of four, one without any

    def whole(batch: np.ndarray) -> np.ndarray:
        return np.ones_like(batch[:, :1])

    expected = (2 / 5 + 0) / 2
    assert agreement(brighter_than(0.5), whole, network_input(images)) == pytest.approx(expected)
    assert agreement(whole, brighter_than(0.5), network_input(images)) == pytest.approx(expected)


def test_two_empty_masks_agree() -> None:
    assert agreement(brighter_than(1), brighter_than(2), network_input(frames(1))) == 1.0


def test_pixels_at_the_threshold_belong_to_the_structure() -> None:
    images = frames(1)
    half, one = (lambda batch, v=v: np.full_like(batch[:, :1], v) for v in (0.5, 1.0))
    assert agreement(half, one, network_input(images)) == 1.0


@pytest.fixture
def network(tmp_path: Path) -> torch.nn.Module:
    """A network whose probabilities are all within a hair of one half, so that any rounding redraws its masks."""
    spec = ModelConfig(depth=2, width=8).spec()
    model = models.build(spec.name, spec.parameters)
    images = torch.from_numpy(frames(16)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        model.eval().head.bias -= model(images).median()
    models.save(model, spec, tmp_path)
    return model


def test_an_export_that_redraws_the_masks_is_made_again_in_full_precision(
    network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(weights: Runtime, exported: OpenVINORuntime, images: np.ndarray, *, channels: tuple[int]) -> float:
        # Not every processor has half precision: where none is, both exports are equally near.
        return 0.9 if exported.precision == "f16" else agreement(weights, exported, images, channels=channels)

    monkeypatch.setattr("parfocal.inference.agreement.agreement", measured)
    exported, tried = export_agreeing(network, tmp_path, 32, network_input(frames(4)), least=0.999)
    assert tried["openvino-f16"] == 0.9
    assert tried["openvino-f32"] >= 0.999
    assert exported["openvino"].agreement == tried["openvino-f32"]
    assert exported["openvino"].file == OpenVINORuntime.file
    assert OpenVINORuntime(tmp_path).precision == "f32"


def test_the_fast_precision_is_kept_when_it_agrees(network: torch.nn.Module, tmp_path: Path) -> None:
    exported, tried = export_agreeing(network, tmp_path, 32, network_input(frames(4)), least=0.5)
    assert list(tried) == ["openvino-f16"]
    assert exported["openvino"].agreement == tried["openvino-f16"]
    assert OpenVINORuntime(tmp_path).precision == "f16"


def test_an_export_that_never_agrees_leaves_the_weights_alone(network: torch.nn.Module, tmp_path: Path) -> None:
    exported, tried = export_agreeing(network, tmp_path, 32, network_input(frames(4)), least=1.01)
    assert exported == {}
    assert list(tried) == ["openvino-f16", "openvino-f32"]
    assert {file.name for file in tmp_path.iterdir()} == {models.WEIGHTS, models.MODEL}


def test_every_runtime_that_is_asked_for_is_exported_in_that_order(network: torch.nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    asked = ("onnxruntime", "openvino")
    exported, tried = export_agreeing(network, tmp_path, 32, network_input(frames(4)), least=0.5, runtimes=asked)
    assert tuple(exported) == asked
    assert exported["onnxruntime"].agreement == tried["onnxruntime-f32"] > 0.99
    assert (tmp_path / exported["onnxruntime"].file).is_file()


def test_a_runtime_that_cannot_express_the_network_is_left_out_with_a_note(
    network: torch.nn.Module, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")

    class Strange(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1] + torch.linalg.svdvals(x).sum()  # no operator of ONNX

    notes: list[str] = []
    exported, tried = export_agreeing(
        Strange(), tmp_path, 32, network_input(frames(1)), runtimes=("onnxruntime",), note=notes.append
    )
    assert (exported, tried) == ({}, {})
    assert len(notes) == 1
    assert "svdvals" in notes[0]
    assert {file.name for file in tmp_path.iterdir()} == {models.WEIGHTS, models.MODEL}


def test_the_network_is_left_in_training_mode(network: torch.nn.Module, tmp_path: Path) -> None:
    network.train()
    export_agreeing(network, tmp_path, 32, network_input(frames(1)), least=0.5)
    assert all(module.training for module in network.modules())
