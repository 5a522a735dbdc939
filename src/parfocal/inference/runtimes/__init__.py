"""Ways to execute a trained network. Each is one file and one line of this table.

A runtime is made from a structure's folder inside a bundle and called with network input; it is deterministic, and
a picture's result does not depend on the batch it is in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import UsageError
from parfocal.core.registry import Family

if TYPE_CHECKING:
    from torch import nn

FAMILY = Family(
    "runtimes",
    {
        "onnxruntime": "parfocal.inference.runtimes.onnxruntime:ONNXRuntime",
        "openvino": "parfocal.inference.runtimes.openvino:OpenVINORuntime",
        "pytorch": "parfocal.inference.runtimes.pytorch:PyTorchRuntime",
    },
)

NATIVE = "pytorch"
"""The member that executes the trained weights themselves, against which every export is held."""


class Runtime(Protocol):
    """One structure's network, ready to use from several threads.

    Attributes:
        file: name of what it loads inside the structure's folder.
    """

    file: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """Load the network of a structure's folder.

        Raises:
            DataContractError: a file is missing or cannot be read; the message names it.
        """
        ...

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [N, 1, S, S] in [0, 1] for input float32 [N, 3, S, S] in [0, 1], BGR.

        Of a network of stacks [N, 1, D, S, S] for [N, 3, D, S, S], with its own D. Of a network for several structures
        one channel a class, which sum to 1 in each pixel.
        """
        ...

    def described(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same probabilities and, from the same pass, the spatial mean of every encoder level, float32 [N, D].

        D is 0 for a network or an export that does not give them: then no drift of appearance can be seen.
        """
        ...


class Exporter(Runtime, Protocol):
    """A runtime that loads what was written for it beside the weights.

    Attributes:
        precisions: that it can be written in, fastest first.
    """

    precisions: ClassVar[tuple[str, ...]]

    @staticmethod
    def export(model: nn.Module, folder: Path, size: int, precision: str, *, channels: int = 3) -> None:
        """Write `file`, and others that share its stem, into the structure's folder.

        Raises:
            RuntimeError: the network cannot be exported.
        """
        ...


def member_of(name: str) -> str:
    """The member of the family that ``openvino-bf16`` names, which says a precision as well; it need not be there."""
    return name if name in FAMILY.table else name.partition("-")[0]


def opened(name: str, folder: Path) -> Runtime:
    """The runtime of that name, made from a structure's folder, in the precision that is named after a hyphen.

    Raises:
        DataContractError: a file is missing or cannot be read.
        UsageError: there is no such runtime, or not in that precision: it has none of that name, this processor does
            not compute in it, or the export may not.
    """
    member = FAMILY.load(member_of(name))
    made: Runtime
    if name in FAMILY.table:
        made = member(folder)
        return made
    precision, known = name.partition("-")[2], getattr(member, "computes", ())
    if precision not in known:
        raise UsageError(
            f"nobody can choose to compute in '{precision}' with {member_of(name)}",
            expected=f"one of {', '.join([member_of(name), *(f'{member_of(name)}-{one}' for one in known)])}",
        )
    made = member(folder, precision)
    return made


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Network input float32 [N, 3, S, S] in [0, 1] from frames uint8 BGR [N, S, S, 3]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
