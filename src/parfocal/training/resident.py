"""All training pictures on the device as uint8 and changed there, so that a step sends row numbers and matrices alone.

What is drawn is what the sampler draws on the host (`Sampler.draw`). What comes of it is `geometric.apply` but for
float32 rounding: of noise, about one value in 10,000 is another by one grey level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from parfocal.augmentation import geometric
from parfocal.augmentation.geometric import Change
from parfocal.memory.sampler import Sampler
from parfocal.memory.stack_sampler import StackSampler
from parfocal.preprocessing.shards import UNKNOWN
from parfocal.training.batches import Batches, ahead, to_device

PART = 0.1
"""Of the device's free memory, how much `auto` lets pictures take; a network's activations need the most."""
_MIDDLE = 128.0
"""The grey level that a change of contrast leaves as it is."""


class Order(NamedTuple):
    """What one step sends to the device.

    Attributes:
        rows: int64 [B], among all sources' pictures one after another.
        changes: float32 [B, 8] of `sampling`; None when pictures stay as they are.
        points: float32 [B, 2], moved already.
    """

    rows: NDArray[np.int64]
    changes: NDArray[np.float32] | None
    points: NDArray[np.float32]


class Resident:
    """The pictures of a sampler on a device.

    Args:
        sampler: of pictures, not of stacks.
        device: where they shall lie; it must have room for `size` bytes.
    """

    def __init__(self, sampler: Sampler, device: torch.device) -> None:
        arrays = [source.arrays for source in sampler.sources]
        self._sampler, self._device = sampler, device
        self._image = _joined([one.image for one in arrays], device)
        self._mask = _joined([one.mask for one in arrays], device)
        self._starts = np.cumsum([0, *(len(one) for one in arrays)])
        # As `geometric.apply` asks of every mask; known here, a step need not wait for the device to say.
        self._classes = np.concatenate([one.mask.max(axis=(1, 2)) > 1 for one in arrays])
        self._unknown = np.concatenate([one.mask.min(axis=(1, 2)) == UNKNOWN for one in arrays])

    def upcoming(self, first: int, last: int, *, rank: int = 0, world: int = 1) -> Batches:
        """As `batches.upcoming`; a thread draws one batch while another is used."""
        with closing(ahead(lambda step: self.order(step, rank, world), first, last)) as drawn:
            for order in drawn:
                yield self.batch(order)

    def order(self, step: int, rank: int = 0, world: int = 1) -> Order:
        """Draw the batch of a step on the host."""
        places, changes, points = self._sampler.draw(step, rank, world)
        rows = np.array([self._starts[source] + row for source, row in places], np.int64)
        return Order(rows, None if changes is None else sampling(changes, *self._mask.shape[1:]), points)

    def batch(self, order: Order) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Input, mask and points, shaped as those of `batches.upcoming`."""
        rows, points = (to_device(one, self._device) for one in (order.rows, order.points))
        image = self._image[rows].permute(0, 3, 1, 2).to(torch.float32)
        mask = self._mask[rows]
        if order.changes is not None:
            changes = to_device(order.changes, self._device)
            image, mask = self._changed(image, mask, changes, order.rows)
        return image.div_(255).contiguous(memory_format=torch.channels_last), mask, points

    def _changed(
        self, image: torch.Tensor, mask: torch.Tensor, changes: torch.Tensor, rows: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`geometric.apply` of a batch: float32 grey levels [B, 3, S, S] and uint8 [B, S, S]."""
        contrast, brightness = changes[:, 6:, None, None, None].unbind(1)
        toned = ((image - _MIDDLE) * contrast + (_MIDDLE + brightness)).round_().clamp_(0, 255)
        places = _grid(changes[:, :6], *mask.shape[1:])
        warped = _sampled(torch.cat([toned, mask.unsqueeze(1)], 1), places, "bilinear")
        cut = (warped[:, 3] >= 0.5).to(torch.uint8)
        classes, unknown = self._classes[rows], self._unknown[rows]
        if classes.any():
            nearest = _sampled(mask.unsqueeze(1).to(torch.float32), places, "nearest")[:, 0].to(torch.uint8)
            cut = torch.where(self._each(classes), nearest, cut)
        if unknown.any():
            cut = cut.masked_fill(self._each(unknown), UNKNOWN)
        return warped[:, :3].round(), cut

    def _each(self, flags: NDArray[np.bool_]) -> torch.Tensor:
        return to_device(flags, self._device)[:, None, None]


def chosen(
    setting: Literal["auto", "on", "off"], sampler: Sampler, device: torch.device, note: Callable[[str], None]
) -> bool:
    """Whether pictures shall lie on the device: as the setting says, `auto` where it is a GPU with room for them.

    Stacks of slices are always made on the host; `note` hears when that is not what was asked for.
    """
    if setting == "off":
        return False
    if isinstance(sampler, StackSampler):
        if setting == "on":
            note("train.resident=on is for pictures; stacks of slices are made on the host")
        return False
    return setting == "on" or (device.type == "cuda" and size(sampler) <= PART * _free(device))


def size(sampler: Sampler) -> int:
    """Bytes of the pictures and masks of all sources."""
    return sum(source.arrays.image.nbytes + source.arrays.mask.nbytes for source in sampler.sources)


def sampling(changes: Sequence[Change], height: int, width: int) -> NDArray[np.float32]:
    """Numbers [N, 8] of N changes: two rows of a matrix, contrast, brightness.

    The matrix takes (x, y, 1) of a result's pixel to the place in the source it comes from, in the units of
    `torch.nn.functional.grid_sample` without `align_corners`: a source of n pixels is -1 to 1, pixel i lies at
    (2 i + 1) / n - 1.
    """
    numbers = np.empty((len(changes), 8), np.float32)
    side = np.array([width, height])[:, None]
    for row, change in zip(numbers, changes, strict=True):
        inverse = np.linalg.inv(np.vstack([geometric.matrix(change, height, width), [0.0, 0.0, 1.0]]))[:2]
        placed = 2 * inverse / side
        placed[:, 2:] += 1 / side - 1
        row[:] = *placed.ravel(), change.contrast, change.brightness
    return numbers


def _grid(matrices: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Where every pixel comes from, [N, H, W, 2], by [N, 6]. Not by a matrix product, which TF32 would round."""
    x = torch.arange(width, dtype=torch.float32, device=matrices.device)
    y = torch.arange(height, dtype=torch.float32, device=matrices.device)[:, None]
    a, b, c = matrices.reshape(-1, 2, 3, 1, 1).unbind(2)
    return (a * x + b * y + c).permute(0, 2, 3, 1)


def _sampled(pictures: torch.Tensor, places: torch.Tensor, mode: Literal["bilinear", "nearest"]) -> torch.Tensor:
    """Float32 [N, C, H, W]; what comes from outside is 0."""
    return functional.grid_sample(pictures, places, mode=mode, padding_mode="zeros", align_corners=False)


def _joined(parts: Sequence[NDArray[np.uint8]], device: torch.device) -> torch.Tensor:
    """One after another on the device, without a second copy of all of them on the host."""
    whole = torch.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=torch.uint8, device=device)
    start = 0
    for part in parts:
        whole[start : start + len(part)].copy_(torch.from_numpy(part))
        start += len(part)
    return whole


def _free(device: torch.device) -> int:
    """Bytes that a training may still take, those included that PyTorch holds for later."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held
