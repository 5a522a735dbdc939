"""Whether an exported network draws the masks that the trained weights draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parfocal.core.bundle import Exported
from parfocal.inference.export import exporters

if TYPE_CHECKING:
    from torch import nn

AGREEMENT = 0.998
"""Least mean Dice between the masks of an export and of the trained weights (SPEED.md)."""

Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A runtime: float32 [N, 3, S, S] to float32 [N, 1, S, S]."""


def summed(probability: NDArray[np.float32], channels: Sequence[int]) -> NDArray[np.float32]:
    """Probability [..., S, S] of what is made up of these channels of [C, ..., S, S]: their sum."""
    found: NDArray[np.float32] = probability[channels[0]]
    if len(channels) > 1:
        found = np.minimum(probability[list(channels)].sum(0), np.float32(1))
    return found


def agreement(
    a: Probabilities,
    b: Probabilities,
    inputs: NDArray[np.float32],
    threshold: float = 0.5,
    channels: Sequence[int] = (0,),
) -> float:
    """Mean Dice between the masks that two runtimes draw on the same frames.

    Args:
        a, b: the runtimes; the result does not depend on which is which.
        inputs: network input float32 [N, C, S, S], at least one.
        threshold: probability at and above which a pixel belongs to the structure.
        channels: of the output; their sum is the structure's probability.

    Returns:
        In [0, 1]; two empty masks agree fully.
    """
    scores = []
    for one_input in inputs:
        batch = one_input[None]
        one, other = (summed(run(batch)[0], channels) >= threshold for run in (a, b))
        total = int(one.sum()) + int(other.sum())
        scores.append(2 * int((one & other).sum()) / total if total else 1.0)
    return float(np.mean(scores))


def export_agreeing(
    model: nn.Module,
    folder: Path,
    size: int,
    inputs: NDArray[np.float32],
    *,
    least: float = AGREEMENT,
    groups: Sequence[Sequence[int]] = ((0,),),
    runtimes: Sequence[str] = ("openvino",),
    note: Callable[[str], None] | None = None,
) -> tuple[dict[str, Exported], dict[str, float]]:
    """Export a network beside its weights, in the fastest precision whose masks are the weights' masks.

    Of each runtime the fastest precision first; when none agrees nothing of it stays in the folder. Without any export
    inference runs the weights.

    Args:
        model: the network whose weights.safetensors and model.json are in `folder`.
        folder: of the network inside the bundle that is being made.
        size: side of the network's frame, in pixels.
        inputs: of the network, from validation frames, float32 [N, C, size, size].
        least: mean Dice that is agreement.
        groups: the channels of each structure that the network answers for; the least agreement of one counts.
        runtimes: that are exported for, the preferred first.
        note: told of a runtime that the network cannot be exported for; it is left out.

    Returns:
        What bundle.json says of the exports (empty without one), and the agreement of each that was tried, by runtime
        and precision (``openvino-f16``).

    Raises:
        UsageError: there is no such runtime, or its package is not installed.
    """
    from parfocal.inference.runtimes.pytorch import CPU, PyTorchRuntime

    weights = PyTorchRuntime(folder, CPU)
    kept: dict[str, Exported] = {}
    tried: dict[str, float] = {}
    for name, member in exporters(runtimes).items():
        for precision in member.precisions:
            try:
                member.export(model, folder, size, precision, channels=inputs.shape[1])
            except RuntimeError as error:
                if note is not None:
                    note(
                        f"no export for {name}, which cannot express this network: {str(error).strip().splitlines()[0]}"
                    )
                break
            exported = member(folder)
            found = min(agreement(weights, exported, inputs, channels=channels) for channels in groups)
            tried[f"{name}-{precision}"] = found
            if found >= least:
                kept[name] = Exported(file=member.file, agreement=found)
                break
        if name not in kept:
            for file in folder.glob(f"{Path(member.file).stem}.*"):
                file.unlink()
    return kept, tried
