"""The trained weights as they are, in float32: what training measured, and the reference for every export."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal import models


class PyTorchRuntime:
    """Executes weights.safetensors with PyTorch on the CPU.

    Each picture runs alone, because convolutions of another batch size may add in another order.
    """

    file: ClassVar[str] = models.WEIGHTS

    def __init__(self, folder: Path) -> None:
        model = models.load(folder)
        self._layout = torch.contiguous_format if models.slices_of(model) else torch.channels_last
        self._model = model.to(memory_format=self._layout)  # type: ignore[call-overload]

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [N, 1, S, S] for input float32 [N, 3, S, S] in [0, 1]."""
        return self.described(batch)[0]

    def described(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same and the spatial mean of every encoder level, float32 [N, D]."""
        describe = models.describer(self._model)
        probabilities, features = [], []
        with torch.inference_mode():
            for picture in np.ascontiguousarray(batch, np.float32):
                tensor = torch.from_numpy(picture[None]).contiguous(memory_format=self._layout)
                logits, pooled = describe(tensor)
                probabilities.append(models.probabilities(logits).contiguous().numpy())
                features.append(pooled.numpy())
        return np.concatenate(probabilities), np.concatenate(features)
