"""OpenVINO: computed in the precision that was written into the export, half unless that redraws the masks.

Loading needs OpenVINO alone; only `export` knows PyTorch.
"""

from __future__ import annotations

import copy
import threading
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["f16", "f32"]
HALF: Precision = "f16"
FULL: Precision = "f32"
_PRECISION = ["parfocal", "precision"]
"""Where in the export's own metadata the precision stands, so that one file says how it is to be computed."""


class OpenVINORuntime:
    """Executes openvino.xml on the CPU, tuned for the latency of one picture; each thread has a request of its own."""

    file: ClassVar[str] = "openvino.xml"

    def __init__(self, folder: Path) -> None:
        file = Path(folder) / self.file
        try:
            graph = _core().read_model(file)
            self.precision = str(graph.get_rt_info(_PRECISION).astype(str))
            hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self.precision}
            self._network = _core().compile_model(graph, "CPU", hints)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise DataContractError(f"the export cannot be loaded: {first}", where=file) from None
        self._own = threading.local()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [N, 1, S, S] for input float32 [N, 3, S, S] in [0, 1]."""
        return self.described(batch)[0]

    def described(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same and the spatial mean of every encoder level, float32 [N, D]; D is 0 for an export without it."""
        if not hasattr(self._own, "request"):
            self._own.request = self._network.create_infer_request()
        pictures = np.ascontiguousarray(batch, np.float32)
        probabilities, features = [], []
        for i in range(len(pictures)):
            found = self._own.request.infer(pictures[i : i + 1])
            probabilities.append(found[0])
            features.append(found[1] if len(found) > 1 else np.zeros((1, 0), np.float32))
        return np.concatenate(probabilities), np.concatenate(features)


def export(
    model: nn.Module, folder: Path, size: int, precision: Precision = HALF, *, channels: int = 3, masks: bool = True
) -> None:
    """Write openvino.xml and openvino.bin into `folder`: any batch size, `size` x `size` pixels, probabilities out.

    A second output, where the network has it, is the spatial mean of every encoder level, which costs nothing extra.

    Args:
        model: takes float32 [N, channels, size, size], of stacks of slices [N, channels, D, size, size] with the D that
            it was trained with, and gives logits; left as it is.
        folder: of the structure, there already.
        size: side of the network's frame, in pixels.
        channels: of the input.
        precision: to compute in. ``f16``: OpenVINO takes float16 where the processor computes in it, else bfloat16,
            else float32; weights are stored in float16. ``f32``: float32 everywhere, and a file twice as large.
        masks: False for a network that gives no masks, whose output is left as it is.
    """
    import openvino
    import torch

    from parfocal import models

    depth = models.slices_of(model)
    sides = [channels, *([depth] if depth else []), size, size]
    copied = copy.deepcopy(model).cpu()
    network = (_exportable(copied) if masks else copied).eval()
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO traces with TorchScript, which warns of its own age and of the network's check of its input's sides.
        # `torch.export` gave the same numbers in three times the time.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python|`torch.jit.trace")
        graph = openvino.convert_model(
            network,
            example_input=torch.zeros(1, *sides),
            input=[openvino.PartialShape([-1, *sides])],
        )
    graph.set_rt_info(precision, _PRECISION)
    openvino.save_model(graph, folder / OpenVINORuntime.file, compress_to_fp16=precision == HALF)


def _exportable(model: nn.Module) -> nn.Module:
    """The network that ends in probabilities and, where it has them, has its pooled features as a second output."""
    import torch
    from torch import nn

    from parfocal import models

    class Exportable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
            logits, features = models.describer(self.model)(x)
            probability = models.probabilities(logits)
            return (probability, features) if features.shape[1] else probability

    return Exportable()


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()
