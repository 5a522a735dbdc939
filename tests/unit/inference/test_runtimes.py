"""Which runtime answers here, and what one does that the others do not."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.inference import choice
from parfocal.inference.choice import choose
from parfocal.inference.export import ExportConfig, exporters
from parfocal.inference.runtimes import FAMILY, member_of, opened, openvino
from parfocal.inference.runtimes.pytorch import CPU, PyTorchRuntime
from parfocal.models import ModelConfig

EXPORTED = ("onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def no_choice_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.RUNTIME, raising=False)
    monkeypatch.setattr(choice, "has_cuda", lambda: False)


def test_without_a_gpu_the_first_export_answers_and_without_an_export_the_weights() -> None:
    assert choose("disc", EXPORTED) == "onnxruntime"
    assert choose("disc", ()) == "pytorch"


def test_on_a_gpu_the_weights_answer_unless_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_cuda", lambda: True)
    assert choose("disc", EXPORTED) == "pytorch"
    assert choose("disc", EXPORTED, "openvino") == "openvino"


def test_the_environment_decides_for_auto_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.RUNTIME, "openvino")
    assert choose("disc", EXPORTED) == "openvino"
    assert choose("disc", EXPORTED, "pytorch") == "pytorch"
    with pytest.raises(UsageError, match=r"disc was not exported for openvino(.|\n)*PARFOCAL_RUNTIME"):
        choose("disc", ())


def test_an_unknown_runtime_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        choose("disc", EXPORTED, "openvin")


def test_a_precision_is_asked_for_after_the_runtimes_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("disc", EXPORTED, "openvino-f32") == "openvino-f32"
    monkeypatch.setenv(choice.RUNTIME, "openvino-bf16")
    assert choose("disc", EXPORTED) == "openvino-bf16"
    assert [member_of(name) for name in ("openvino-bf16", "openvino", "pytorch")] == ["openvino", "openvino", "pytorch"]
    with pytest.raises(UsageError, match="disc was not exported for openvino-bf16"):
        choose("disc", ("onnxruntime",))
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        choose("disc", EXPORTED, "openvin-bf16")


def test_settings_of_exports_name_runtimes_that_have_one() -> None:
    assert ExportConfig().runtimes == ("openvino",)
    assert ExportConfig.parse({"runtimes": ["openvino", "openvino"]}).runtimes == ("openvino",)
    for name in "pytorch", "opnvino":
        with pytest.raises(UsageError, match=f"'{name}'.*onnxruntime, openvino"):
            ExportConfig.parse({"runtimes": [name]})


def test_a_missing_package_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest, **named):
        if name == "onnxruntime":
            raise ModuleNotFoundError(name)
        return imported(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "parfocal.inference.runtimes.onnxruntime", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'parfocal\[onnx\]'"):
        exporters(["onnxruntime"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = ModelConfig(depth=2, width=8).spec()
    models.save(models.build(spec.name, spec.parameters), spec, tmp_path)
    return tmp_path


PICTURES = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)


def test_other_programs_can_give_the_onnx_file_any_number_of_pictures(folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    runtime = FAMILY.load("onnxruntime")
    runtime.export(models.load(folder), folder, 32)
    plain = onnxruntime.InferenceSession(str(folder / runtime.file), providers=["CPUExecutionProvider"])
    found = dict(
        zip([output.name for output in plain.get_outputs()], plain.run(None, {"picture": PICTURES}), strict=True)
    )
    np.testing.assert_allclose(found["probability"], PyTorchRuntime(folder, CPU)(PICTURES), atol=1e-5)
    assert len(found["features"]) == len(PICTURES)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch):
    """Makes OpenVINO say what the processor computes in."""
    real = openvino._core()

    def computes_in(*names: str) -> None:
        class Core:
            read_model, compile_model = real.read_model, real.compile_model

            def get_property(self, device: str, name: str) -> list[str]:
                assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
                return [*names]

        monkeypatch.setattr(openvino, "_core", Core)

    return computes_in


@pytest.mark.parametrize(("precision", "hint"), [("bf16", "bfloat16"), ("f32", "float32")])
def test_the_precision_that_is_named_is_computed_in(precision: str, hint: str, folder: Path) -> None:
    if openvino.COMPUTES[precision] not in openvino._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip(f"this processor does not compute in {precision}")
    openvino.export(models.load(folder), folder, 32, openvino.HALF)
    runtime = opened(f"openvino-{precision}", folder)
    assert hint in str(runtime._network.get_property("INFERENCE_PRECISION_HINT"))
    np.testing.assert_allclose(runtime(PICTURES), PyTorchRuntime(folder, CPU)(PICTURES), atol=0.02)


def test_a_precision_that_the_processor_lacks_is_refused_and_never_replaced(folder: Path, processor) -> None:
    openvino.export(models.load(folder), folder, 32, openvino.HALF)
    processor("FP32", "BF16")
    with pytest.raises(UsageError, match=r"does not compute in f16(.|\n)*one of bf16, f32"):
        opened("openvino-f16", folder)
    assert opened("openvino", folder).precision == openvino.HALF  # an export's own is OpenVINO's to replace


def test_an_export_that_was_kept_in_float32_is_never_computed_in_less(folder: Path, processor) -> None:
    openvino.export(models.load(folder), folder, 32, openvino.FULL)
    processor("FP32", "BF16", "FP16")
    for precision in "bf16", "f16":
        with pytest.raises(UsageError, match="its masks were not the weights' masks"):
            opened(f"openvino-{precision}", folder)
    assert opened("openvino-f32", folder).precision == openvino.FULL


def test_a_precision_that_a_runtime_does_not_know_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"'int8' with openvino(.|\n)*openvino-f16, openvino-bf16, openvino-f32"):
        opened("openvino-int8", folder)
    with pytest.raises(UsageError, match="'bf16' with pytorch"):
        opened("pytorch-bf16", folder)


class Full(torch.nn.Module):
    """A network whose device's memory is full until it is moved to the CPU."""

    def __init__(self, network: torch.nn.Module, error: RuntimeError) -> None:
        super().__init__()
        self.network, self.error, self.full, self.calls = network, error, True, 0

    def to(self, device: torch.device, **named):
        self.full = device != CPU
        return super().to(device=device, **named)

    def described(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        if self.full:
            raise self.error
        return self.network.described(x)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]
)
def test_when_the_gpus_memory_is_full_the_cpu_takes_over_and_it_is_said_once(
    error: RuntimeError, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = PyTorchRuntime(folder, torch.device("cpu", 0))  # a device that is not `CPU`, and is always there
    runtime._model = Full(runtime._model, error)
    for _ in range(2):
        np.testing.assert_array_equal(runtime(PICTURES), PyTorchRuntime(folder, CPU)(PICTURES))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "from the CPU" in caplog.text
    assert runtime._model.calls == 1 + 2 * len(PICTURES)
    assert runtime._device == CPU


@pytest.mark.parametrize(
    ("device", "error"),
    [(CPU, torch.OutOfMemoryError("out of memory")), (torch.device("cpu", 0), RuntimeError("not a number of pixels"))],
)
def test_a_full_memory_of_the_cpu_and_any_other_error_is_an_error(
    device: torch.device, error: RuntimeError, folder: Path
) -> None:
    runtime = PyTorchRuntime(folder, device)
    runtime._model = Full(runtime._model, error)
    with pytest.raises(RuntimeError, match=str(error)):
        runtime(PICTURES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_draws_what_the_cpu_draws_and_the_same_in_every_call(folder: Path) -> None:
    runtime = PyTorchRuntime(folder)
    assert runtime._device.type == "cuda"
    found, features = runtime.described(PICTURES)
    expected, pooled = PyTorchRuntime(folder, CPU).described(PICTURES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(features, pooled, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([runtime(PICTURES[i : i + 1]) for i in range(3)]), found)
