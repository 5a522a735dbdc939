"""What runs an exported network. A runtime is one file: `export` writes a form of a network, `Runtime` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parfocal.core.registry import Family

FAMILY = Family(
    "runtimes",
    {
        "openvino": "parfocal.inference.runtimes.openvino:OpenVINORuntime",
        "pytorch": "parfocal.inference.runtimes.pytorch:PyTorchRuntime",
    },
)
PREFERRED = ("openvino", "pytorch")
"""What `auto` takes, the first that a bundle has."""


class Runtime(Protocol):
    """One network, loaded from its folder in a bundle.

    `__call__` takes float32 [N, 3, S, S] in [0, 1] (BGR / 255) and gives probabilities, float32 [N, 1, S, S].
    """

    file: str
    """The exported form, inside a structure's folder; a folder without it cannot be loaded by this runtime."""

    def __init__(self, folder: Path) -> None: ...

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]: ...
