"""How the picture was taken: size, field of view, detail, and what the camera calls itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation

SIZES = ("width", "height", "field.area", "field.width", "field.height")
"""As logarithms."""
DETAIL = ("sharpness", "flat")
"""The first as a logarithm, half a grey level added."""
TAGS = ("make", "model", "software", "lens", "device")
"""Names of camera tags in `Observation.acquisition`: texts; a missing one is a value like any other, but where the
reference has none at all (`frequency.NOTHING`). New ones come last: references from before go without them."""
_MISSING = (float("nan"),) * (len(SIZES) + len(DETAIL) + 1 + len(TAGS))


class Acquisition:
    """Sizes and detail, and categories: the exact size of the picture and each camera tag.

    A size that no case of the reference had is rare, however near it is to those that were there: cameras have few.
    Where every picture has a size of its own (crops), every size is equally rare and tells nothing.
    """

    name: ClassVar[str] = "acquisition"
    resolution: ClassVar[float] = 0.01
    categories: ClassVar[int] = 1 + len(TAGS)

    def vectors(self, observations: Sequence[Observation], width: int = 0) -> NDArray[np.float64]:
        """Sizes, detail, then a number for each category, float64 [N, 13]; NaN where a number is missing or no size."""
        raw = [_row(observation) for observation in observations]
        rows = np.array(raw, np.float64).reshape(len(raw), len(_MISSING))
        sizes = rows[:, : len(SIZES)]
        sizes[~(sizes > 0)] = np.nan
        np.log(sizes, out=sizes)
        rows[:, len(SIZES)] = np.log(np.maximum(rows[:, len(SIZES)], 0.0) + 0.5)
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        return rows[:, : width or len(_MISSING)]


def _row(observation: Observation) -> Sequence[float]:
    found = observation.acquisition
    try:
        sizes = [float(found[name]) for name in SIZES]
        detail = [float(found[name]) for name in DETAIL]
        exact = f"{sizes[0]:.0f} x {sizes[1]:.0f}"
    except (KeyError, ValueError):
        return _MISSING
    names = (exact, *(str(found.get(tag, "")) for tag in TAGS))
    return [*sizes, *detail, *(float(crc32(text.encode())) for text in names)]
