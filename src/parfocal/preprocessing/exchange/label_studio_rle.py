"""The run lengths in which Label Studio keeps brushed masks: thi.ng's rle-pack (Karsten Schmidt), written anew.

32 bits count the values, 5 the bits of a value less one, and four times 4 those of a length less one. Then blocks: one
bit says whether a value is repeated; two say which length follows; the length less one; and the value, or as many
values as the length says. The values are a picture of four bytes a pixel, of which the last, its alpha, is the mask.
https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError

CHANNELS, BITS, HALF = 4, 8, 128
SIZES = (3, 4, 8, 16)
"""Bits of a length, as Label Studio itself writes them."""


def decode(data: Iterable[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask bool [H, W]: where alpha is at least half.

    Args:
        data: bytes, as the JSON lists them.
        height, width: of the picture that was brushed.

    Raises:
        DataContractError: of another picture, cut short, or no such run lengths.
    """
    try:
        bits = np.unpackbits(np.fromiter(data, np.uint8))
    except (OverflowError, TypeError, ValueError):
        raise DataContractError("run lengths that are no bytes") from None
    weights = 1 << np.arange(31, -1, -1, dtype=np.int64)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise DataContractError("run lengths that are cut short")
        at += count
        return int(bits[at - count : at] @ weights[-count:])

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in SIZES]
    if total != CHANNELS * height * width or word != BITS:
        raise DataContractError(
            f"{total} values of {word} bits",
            expected=f"{CHANNELS * height * width} of {BITS}: {width} x {height} pixels",
        )
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = take(1)
        end = done + 1 + take(sizes[take(2)])
        if end > total:
            raise DataContractError("run lengths that are longer than their picture")
        if repeated:
            values[done:end] = take(BITS)
        else:
            count = BITS * (end - done)
            if at + count > len(bits):
                raise DataContractError("run lengths that are cut short")
            values[done:end] = np.packbits(bits[at : at + count])
            at += count
        done = end
    found: NDArray[np.bool_] = values.reshape(height, width, CHANNELS)[..., -1] >= HALF
    return found


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes of a mask [H, W]: 255 in all four channels where it is in, else 0."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size) * CHANNELS
    parts = [f"{flat.size * CHANNELS:032b}{BITS - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    longest = 1 << SIZES[-1]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "1" * BITS if flat[start] else "0" * BITS
        for done in range(0, length, longest):
            left = min(longest, length - done) - 1
            which = next(place for place, size in enumerate(SIZES) if left < 1 << size)
            parts.append(f"1{which:02b}{left:0{SIZES[which]}b}{value}")
    text = "".join(parts)
    return list(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big"))
