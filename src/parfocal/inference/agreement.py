"""Whether an exported network draws the masks that the trained weights draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parfocal.core.bundle import Exported

if TYPE_CHECKING:
    from torch import nn

AGREEMENT = 0.998
"""Least mean Dice between the masks of an export and of the trained weights (SPEED.md)."""

Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A runtime: float32 [N, 3, S, S] to float32 [N, 1, S, S]."""


def agreement(a: Probabilities, b: Probabilities, inputs: NDArray[np.float32], threshold: float = 0.5) -> float:
    """Mean Dice between the masks that two runtimes draw on the same frames.

    Args:
        a, b: the runtimes; the result does not depend on which is which.
        inputs: network input float32 [N, C, S, S], at least one.
        threshold: probability at and above which a pixel belongs to the structure.

    Returns:
        In [0, 1]; two empty masks agree fully.
    """
    scores = []
    for one_input in inputs:
        batch = one_input[None]
        one, other = a(batch) >= threshold, b(batch) >= threshold
        total = int(one.sum()) + int(other.sum())
        scores.append(2 * int((one & other).sum()) / total if total else 1.0)
    return float(np.mean(scores))


def export_agreeing(
    model: nn.Module, folder: Path, size: int, inputs: NDArray[np.float32], *, least: float = AGREEMENT
) -> tuple[dict[str, Exported], dict[str, float]]:
    """Export a structure's network beside its weights, in the fastest precision whose masks are the weights' masks.

    Half precision first, then float32; when neither agrees nothing stays in the folder, and inference runs the weights.

    Args:
        model: the network whose weights.safetensors and model.json are in `folder`.
        folder: of the structure inside the bundle that is being made.
        size: side of the network's frame, in pixels.
        inputs: of the network, from validation frames, float32 [N, C, size, size].
        least: mean Dice that is agreement.

    Returns:
        What bundle.json says of the export (empty without one), and the agreement of each precision that was tried.
    """
    from parfocal.inference.runtimes import openvino
    from parfocal.inference.runtimes.pytorch import PyTorchRuntime

    weights = PyTorchRuntime(folder)
    tried: dict[str, float] = {}
    for precision in openvino.HALF, openvino.FULL:
        openvino.export(model, folder, size, precision, channels=inputs.shape[1])
        tried[precision] = agreement(weights, openvino.OpenVINORuntime(folder), inputs)
        if tried[precision] >= least:
            return {"openvino": Exported(file=openvino.OpenVINORuntime.file, agreement=tried[precision])}, tried
    for file in folder.glob("openvino.*"):
        file.unlink()
    return {}, tried
