"""OpenVINO on the CPU: the fastest way to answer one image without a GPU. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from torch import nn


class OpenVINORuntime:
    """Runs openvino.xml, compiled for latency; see `Runtime`."""

    file = "openvino.xml"

    def __init__(self, folder: Path) -> None:
        import openvino as ov

        try:
            model = ov.Core().read_model(folder / self.file)
        except RuntimeError as error:
            raise DataContractError(f"OpenVINO cannot read the network: {error}", where=folder / self.file) from None
        # No precision is asked for: OpenVINO computes in bfloat16 where the CPU has it (1.7 times as fast on AVX-512
        # BF16) and in float32 elsewhere. What that does to masks is measured as agreement before a bundle is sealed.
        self._request = ov.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs: Any = self._request.infer([batch])
        return np.array(outputs[0], np.float32)


def export(model: nn.Module, folder: Path, size: int) -> None:
    """Write openvino.xml and openvino.bin (16-bit weights) with any batch and a fixed size x size input.

    The sigmoid is part of the exported network, so that every runtime gives probabilities.
    """
    import openvino as ov
    import torch

    served = torch.nn.Sequential(model, torch.nn.Sigmoid()).float().cpu().eval()
    with torch.no_grad():
        converted = ov.convert_model(
            served, example_input=torch.zeros(1, 3, size, size), input=[ov.PartialShape([-1, 3, size, size])]
        )
    ov.save_model(converted, folder / OpenVINORuntime.file, compress_to_fp16=True)
