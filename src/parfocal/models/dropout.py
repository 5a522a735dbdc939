"""Dropout whose masks are windows into a pool of random numbers that were drawn once.

Drawing a mask a layer a step is the dearest elementwise part of a training step on a CPU. Here a mask is a view of
a pool that lies in memory already: its start and the shift from one sample to the next are two integers, drawn
from PyTorch's generator in each call. So a training loop that seeds that generator by step gets the same masks in
a resumed run, and no state of this layer needs to be saved.
"""

from __future__ import annotations

import torch
from torch import nn

_CHUNK = 1 << 20
"""Elements generated from one seed, and the range of a window's start."""
_SHIFTS = 1 << 11
"""A sample's window begins 1 to 2048 elements after the previous sample's."""
_SEED = 0x9A5F0CA1


class _Pool:
    """Grows in chunks, each from its own seed, so its beginning is the same whatever was asked for first."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[float, torch.dtype, torch.device], torch.Tensor] = {}

    def take(self, elements: int, rate: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        key = (rate, dtype, device)
        pool = self._tensors.get(key)
        if pool is None or pool.numel() < elements:
            self._tensors[key] = pool = self._generate(elements, rate, dtype).to(device)
        return pool

    @staticmethod
    def _generate(elements: int, rate: float, dtype: torch.dtype) -> torch.Tensor:
        chunks = []
        for index in range(-(-elements // _CHUNK)):
            generator = torch.Generator().manual_seed(_SEED + index)
            kept = torch.rand(_CHUNK, generator=generator) >= rate
            chunks.append(kept.to(dtype) / (1.0 - rate))
        return torch.cat(chunks)


_POOL = _Pool()


class PooledDropout(nn.Module):
    """Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate), in training alone.

    Against `nn.Dropout`: the same marginal distribution; within a call two samples see the same random sequence,
    shifted by some elements (channels, then columns), and a mask can come again after about two thousand million
    calls' worth of (start, shift) pairs. In `eval` it is the identity and leaves no trace in an exported graph.

    Shape: [N, C, H, W] floating, channels-last or contiguous; the result is written over the argument, which must
    not be needed by the backward pass of what made it (a batch norm's or a convolution's output is not).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a dropout rate is in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return x.mul_(self._mask(x))

    def _mask(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        start, shift = (int(v) for v in torch.randint(1, _CHUNK, (2,)))
        shift = 1 + shift % _SHIFTS
        pool = _POOL.take(_CHUNK + (n - 1) * _SHIFTS + c * h * w, self.rate, x.dtype, x.device)
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        inner = (1, w * c, c) if channels_last else (h * w, w, 1)
        return pool.as_strided((n, c, h, w), (shift, *inner), start)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
