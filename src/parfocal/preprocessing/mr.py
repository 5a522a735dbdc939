"""The MR recipe: the coil's shading taken out, then grey levels between percentiles, because MR has no unit."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from parfocal.core.dicom import simpleitk
from parfocal.preprocessing.contrast import as_channels, between_percentiles, grey, resized
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box

_LEAST = 16
"""Pixels of a side that the estimate of the shading keeps: its spline has four control points a side."""


class MrRecipe(Recipe):
    """Of an MR slice, 8-bit or 16-bit grey.

    The shading is estimated slice by slice in the frame, so that one slice is answered as it was learned; a whole
    volume's estimate would be smoother across slices.
    """

    modalities: ClassVar[tuple[str, ...]] = ("mr",)
    name: Literal["mr"] = "mr"
    size: int = Field(default=128, ge=16, le=1024, description="pixels, side of the square frame")
    bias_correction: bool = Field(default=True, description="correct the bias field by N4; needs SimpleITK")
    shrink: int = Field(default=4, ge=1, le=16, description="the bias field is estimated on every n-th pixel")
    iterations: int = Field(default=30, ge=1, le=200, description="of the bias field's estimate, at each of 3 scales")
    percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0), description="(low, high) of the frame's grey levels, which become black and white"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError("percentiles have to grow, from 0 to 100")
        return self

    def frame(self, image: Picture, box: Box) -> Pixels:
        """See `Recipe.frame`; colour is refused. UsageError when SimpleITK is needed and not installed."""
        levels = resized(grey(image), box, self.size).astype(np.float32)
        if self.bias_correction:
            levels = without_bias(levels, max(1, min(self.shrink, self.size // _LEAST)), self.iterations)
        return as_channels([between_percentiles(levels, self.percentiles)])


def without_bias(levels: npt.NDArray[np.float32], shrink: int, iterations: int) -> npt.NDArray[np.float32]:
    """Divide [S, S] by its bias field, estimated inside Otsu's mask; unchanged where there is nothing to estimate from.

    Tustison and others, N4ITK: improved N3 bias correction, IEEE Transactions on Medical Imaging 29, 2010.
    """
    if levels.max() <= levels.min():
        return levels
    sitk = simpleitk()
    image = sitk.GetImageFromArray(levels)
    mask = sitk.OtsuThreshold(image, 0, 1, 128)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([iterations] * 3)
    n4.SetNumberOfThreads(1)  # sums in one order, so that the same slice is the same frame everywhere
    small, inside = sitk.Shrink(image, [shrink] * 2), sitk.Shrink(mask, [shrink] * 2)
    if int(sitk.GetArrayViewFromImage(inside).sum()) < _LEAST:
        return levels
    n4.Execute(small, inside)
    field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)))
    corrected: npt.NDArray[np.float32] = (levels / field).astype(np.float32)
    return corrected
