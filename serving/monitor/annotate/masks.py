"""Masks as the page and the segmenter write them: COCO's run lengths, not compressed, down one column after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.evaluation.metrics import dice

Mask = NDArray[np.bool_]
MOST_RUNS = 2_000_000
"""A mask drawn by a person has some thousands; one that is all speckle is a mistake."""
_FAST = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
]  # fmt: skip
"""Of a mask, which is long runs: a click waits for it, and it gets smaller too."""


def decode(runs: Any, shape: tuple[int, int], where: str) -> Mask:
    """A mask, bool [H, W].

    Args:
        runs: ``{"size": [H, W], "counts": [outside, inside, outside, ...]}``.
        shape: (H, W) of the photograph.
        where: what the mask is of, for the message.

    Raises:
        DataContractError: they are no run lengths of a mask of that size.
    """
    expected = f'{{"size": [{shape[0]}, {shape[1]}], "counts": [...]}}, counts adding up to {shape[0] * shape[1]}'
    most = shape[0] * shape[1]
    fits = isinstance(runs, Mapping) and runs.keys() == {"size", "counts"}  # the rest would be kept, whatever it is
    size, counts = (runs["size"], runs["counts"]) if fits else (None, None)
    if size != list(shape) or not isinstance(counts, list) or not 1 <= len(counts) <= min(MOST_RUNS, most + 1):
        raise DataContractError("these are no run lengths of this photograph", where=where, expected=expected)
    if not all(type(count) is int and 0 <= count <= most for count in counts) or sum(counts) != most:
        raise DataContractError("these run lengths do not add up", where=where, expected=expected)
    inside = (np.arange(len(counts)) % 2).astype(np.uint8)
    columns = np.repeat(inside, counts).reshape(shape[1], shape[0])
    mask: Mask = cv2.transpose(columns).view(np.bool_)  # a copy that is several times faster than numpy's
    return mask


def encode(mask: Mask) -> dict[str, list[int]]:
    """Run lengths of a mask [H, W]; the first count is 0 where the first pixel is inside."""
    flat = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    return {"size": [int(side) for side in mask.shape], "counts": [0, *counts] if flat[0] else counts}


def png(mask: Mask) -> bytes:
    """A PNG file, 0 and 255."""
    picture = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return cv2.imencode(".png", picture, _FAST)[1].tobytes()


def agreement(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """Dice of two sets of run lengths by structure, of the structures that both have."""
    found: dict[str, float] = {}
    for name in first.keys() & second.keys():
        shape = (int(first[name]["size"][0]), int(first[name]["size"][1]))
        found[name] = round(dice(decode(first[name], shape, name), decode(second[name], shape, name)), 4)
    return found
