"""The trained weights as they are, in float32: what training measured, and the reference for every export."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from parfocal import models

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")
_ONE_AT_A_TIME = threading.Lock()
"""Of all networks on the GPU: which kernels it takes is a setting of the whole process."""


class PyTorchRuntime:
    """Executes weights.safetensors with PyTorch, on the GPU where there is one, else on the CPU.

    Each picture runs alone, because convolutions of another batch size may add in another order. The GPU computes in
    float32 as well, without TF32 and with kernels that always add in one order, so that its masks are the weights'
    masks and need no agreement of their own. When its memory is full, the CPU takes over for good.
    """

    file: ClassVar[str] = models.WEIGHTS

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        """Load the weights; `device` is where they are executed, by default the first GPU or the CPU."""
        self._model = models.load(folder)
        self._layout = torch.contiguous_format if models.slices_of(self._model) else torch.channels_last
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._model.to(device=self._device, memory_format=self._layout)  # type: ignore[call-overload]
        except RuntimeError as error:
            if not self._full(error):
                raise
            self._to_cpu()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [N, 1, S, S] for input float32 [N, 3, S, S] in [0, 1]."""
        return self.described(batch)[0]

    def described(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same and the spatial mean of every encoder level, float32 [N, D]."""
        probabilities, features = [], []
        with self._exact(), torch.inference_mode():
            for picture in np.ascontiguousarray(batch, np.float32):
                probability, pooled = self._answer(picture)
                probabilities.append(probability)
                features.append(pooled)
        return np.concatenate(probabilities), np.concatenate(features)

    def _answer(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            return self._ask(picture)
        except RuntimeError as error:
            if not self._full(error):
                raise
        self._to_cpu()  # here, where the error no longer holds what filled the memory
        return self._ask(picture)

    def _ask(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        tensor = torch.from_numpy(picture[None]).to(self._device).contiguous(memory_format=self._layout)
        logits, pooled = models.describer(self._model)(tensor)
        return models.probabilities(logits).contiguous().cpu().numpy(), pooled.cpu().numpy()

    def _full(self, error: RuntimeError) -> bool:
        """Whether it is the GPU's memory; when other processes have filled it, CUDA and cuDNN say so in words alone."""
        return self._device != CPU and any(words in str(error) for words in ("out of memory", "ALLOC_FAILED"))

    def _to_cpu(self) -> None:
        logger.warning("the memory of %s is full: this network answers from the CPU from now on", self._device)
        self._model.to(device=CPU, memory_format=self._layout)  # type: ignore[call-overload]
        self._device = CPU  # from here on nobody waits for the GPU's turn
        torch.cuda.empty_cache()

    @contextmanager
    def _exact(self) -> Iterator[None]:
        """On the GPU alone: one network at a time, and float32 that is the same in every call."""
        if self._device == CPU:
            yield
            return
        with _ONE_AT_A_TIME, torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
