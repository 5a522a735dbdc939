"""Networks that see neighbouring slices: one structure's probabilities of a whole volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError
from parfocal.inference.agreement import Probabilities
from parfocal.inference.runtimes import network_input
from parfocal.preprocessing import stacks
from parfocal.preprocessing.images import Picture


def probabilities(
    network: Probabilities, frames: NDArray[np.uint8], numbers: Sequence[int], depth: int
) -> NDArray[np.float32]:
    """Probabilities of every slice, the mean over the overlapping stacks that it is in.

    Args:
        network: float32 [1, 3, D, S, S] to [1, 1, D, S, S].
        frames: uint8 BGR [Z, S, S, 3].
        numbers: of the Z slices, ascending.
        depth: D.

    Returns:
        float32 [Z, 1, S, S].
    """

    def answer(places: stacks.Ints) -> NDArray[np.float32]:
        found: NDArray[np.float32] = network(network_input(frames[places]).swapaxes(0, 1)[None])[0].swapaxes(0, 1)
        return found

    return stacks.averaged(answer, numbers, depth)


def checked(pictures: Sequence[Picture], numbers: Sequence[int] | None) -> Sequence[int]:
    """The numbers of a volume's slices, 0, 1, 2, ... when nobody says.

    Raises:
        DataContractError: no slices, slices of several sizes, or numbers that do not ascend.
    """
    found = range(len(pictures)) if numbers is None else numbers
    if not pictures or len({picture.shape for picture in pictures}) > 1 or len(found) != len(pictures):
        raise DataContractError(
            f"{len(pictures)} slices of sizes {sorted({picture.shape for picture in pictures})}, {len(found)} numbers",
            expected="the slices of one volume, all of one size",
        )
    if any(one >= other for one, other in pairwise(found)):
        raise DataContractError("slices that are not in order", expected="ascending numbers")
    return found


def refuse_alone(bundle: Bundle) -> None:
    """Refuse to answer one picture with networks that see its neighbours too.

    Raises:
        DataContractError: the bundle has such a network.
    """
    for name, model in bundle.structures.items():
        if model.slices:
            raise DataContractError(
                f"the {name} network looks at {model.slices} slices of a volume together, and this is one picture",
                expected="a whole volume",
                next="parfocal segment VOLUME --model BUNDLE",
            )
