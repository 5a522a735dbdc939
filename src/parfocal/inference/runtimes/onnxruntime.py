"""ONNX Runtime on the CPU, in float32: the export that most other programs can read, too.

Loading needs the package `onnxruntime` alone; only `export` knows PyTorch. Both come with `parfocal[onnx]`.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError, UsageError

if TYPE_CHECKING:
    from torch import nn

try:
    import onnxruntime
except ModuleNotFoundError:
    raise UsageError("the runtime 'onnxruntime' is not installed", next="pip install 'parfocal[onnx]'") from None

OPSET = 17
"""Of the operators in the file (ONNX 1.12, 2022): whoever reads files of that age or newer reads it."""


class ONNXRuntime:
    """Executes network.onnx on the processors this process may use; its session is safe for threads."""

    file: ClassVar[str] = "network.onnx"
    precisions: ClassVar[tuple[str, ...]] = ("f32",)

    def __init__(self, folder: Path) -> None:
        file = Path(folder) / self.file
        options = onnxruntime.SessionOptions()
        # Left to itself it binds threads to processors, which a container or `taskset` may not allow.
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        try:
            self._network = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have nothing narrower in common
            first = str(error).strip().splitlines()[0]
            raise DataContractError(f"the export cannot be loaded: {first}", where=file) from None
        self._input = self._network.get_inputs()[0].name

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [N, 1, S, S] for input float32 [N, 3, S, S] in [0, 1]."""
        return self.described(batch)[0]

    def described(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same and the spatial mean of every encoder level, float32 [N, D]; D is 0 for an export without it.

        Each picture runs alone, because convolutions of another batch size may add in another order.
        """
        pictures = np.ascontiguousarray(batch, np.float32)
        probabilities, features = [], []
        for i in range(len(pictures)):
            found = self._network.run(None, {self._input: pictures[i : i + 1]})
            probabilities.append(found[0])
            features.append(found[1] if len(found) > 1 else np.zeros((1, 0), np.float32))
        return np.concatenate(probabilities), np.concatenate(features)

    @staticmethod
    def export(model: nn.Module, folder: Path, size: int, precision: str = "f32", *, channels: int = 3) -> None:
        """Write network.onnx into `folder`: any batch size, `size` x `size` pixels, probabilities out.

        A second output, where the network has it, is the spatial mean of every encoder level.

        Args:
            model: takes float32 [N, channels, size, size], of stacks [N, channels, D, size, size], and gives logits;
                left as it is.
            folder: of the structure, there already.
            size: side of the network's frame, in pixels.
            precision: to compute in; ``f32`` is all there is.
            channels: of the input.

        Raises:
            RuntimeError: the network does something that ONNX has no operator for.
            UsageError: the package `onnx`, which writes the file, is not installed.
        """
        import torch

        from parfocal.inference.runtimes.exportable import exportable, sides, tracing

        if find_spec("onnx") is None:
            raise UsageError("an export for ONNX Runtime needs onnx", next="pip install 'parfocal[onnx]'")
        assert precision in ONNXRuntime.precisions
        network = exportable(model)
        example = torch.zeros(1, *sides(model, channels, size))
        with tracing():
            names = ["probability", "features"][: 2 if isinstance(network(example), tuple) else 1]
            torch.onnx.export(
                network,
                (example,),
                folder / ONNXRuntime.file,
                dynamo=False,
                opset_version=OPSET,
                input_names=["picture"],
                output_names=names,
                dynamic_axes={name: {0: "batch"} for name in ["picture", *names]},
            )
