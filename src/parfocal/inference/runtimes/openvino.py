"""OpenVINO: computed in the precision that was written into the export, half unless that redraws the masks.

Loading needs OpenVINO alone; only `export` knows PyTorch.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError, UsageError

if TYPE_CHECKING:
    from torch import nn

HALF = "f16"
FULL = "f32"
COMPUTES = {"f16": "FP16", "bf16": "BF16", "f32": "FP32"}
"""Precisions that somebody may ask for by name, as OpenVINO names what a processor computes in."""
_PRECISION = ["parfocal", "precision"]
"""Where in the export's own metadata the precision stands, so that one file says how it is to be computed."""


class OpenVINORuntime:
    """Executes openvino.xml on the CPU, tuned for the latency of one picture; each thread has a request of its own."""

    file: ClassVar[str] = "openvino.xml"
    precisions: ClassVar[tuple[str, ...]] = (HALF, FULL)
    computes: ClassVar[tuple[str, ...]] = tuple(COMPUTES)

    def __init__(self, folder: Path, precision: str = "") -> None:
        """Load the export, to compute in the precision that is written into it, or in another of `computes`.

        Raises:
            DataContractError: a file is missing or cannot be read; the message names it.
            UsageError: this processor does not compute in that precision, or the export was kept in float32 because its
                masks were the weights' masks in nothing less.
        """
        file = Path(folder) / self.file
        try:
            graph = _core().read_model(file)
            self.precision = str(graph.get_rt_info(_PRECISION).astype(str))
            if precision:
                _refuse_unfit(precision, self.precision, file)
                self.precision = precision
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

    @staticmethod
    def export(model: nn.Module, folder: Path, size: int, precision: str = HALF, *, channels: int = 3) -> None:
        """Write openvino.xml and openvino.bin into `folder`, as the function of this name does."""
        export(model, folder, size, precision, channels=channels)


def export(
    model: nn.Module, folder: Path, size: int, precision: str = HALF, *, channels: int = 3, masks: bool = True
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

    from parfocal.inference.runtimes.exportable import exportable, sides, tracing

    shape = sides(model, channels, size)
    with tracing():
        graph = openvino.convert_model(
            exportable(model, masks=masks),
            example_input=torch.zeros(1, *shape),
            input=[openvino.PartialShape([-1, *shape])],
        )
    graph.set_rt_info(precision, _PRECISION)
    openvino.save_model(graph, folder / OpenVINORuntime.file, compress_to_fp16=precision == HALF)


def _refuse_unfit(precision: str, exported: str, file: Path) -> None:
    """Left to itself OpenVINO takes another precision in silence where the processor lacks this one."""
    possible = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if COMPUTES[precision] not in possible:
        here = ", ".join(one for one, name in COMPUTES.items() if name in possible)
        raise UsageError(f"this processor does not compute in {precision}", where=file, expected=f"one of {here}")
    if exported == FULL and precision != FULL:
        raise UsageError(
            f"this export may not be computed in {precision}: in half precision its masks were not the weights' masks",
            where=file,
            expected=FULL,
            next="use the runtime `openvino`, which takes each export's own precision",
        )


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()
