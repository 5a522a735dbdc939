"""PyTorch, from the trained weights themselves: what every other runtime is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal import models


class PyTorchRuntime:
    """Runs weights.safetensors in float32 on the CPU or the first GPU; see `Runtime`."""

    file = models.WEIGHTS

    def __init__(self, folder: Path) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = models.load(folder).to(self._device)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            probabilities = torch.sigmoid(self._model(torch.from_numpy(batch).to(self._device)))
        return np.asarray(probabilities.float().cpu().numpy(), np.float32)
