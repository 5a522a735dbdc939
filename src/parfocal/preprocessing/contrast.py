"""Grey levels: one channel out of a picture, a range of numbers into 8 bits, local contrast."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.roi import Box, interpolation


def grey(image: Picture) -> npt.NDArray[np.uint8 | np.uint16]:
    """The one channel [H, W] of a picture that has no colour.

    Raises:
        DataContractError: it has colour, so it is no CT, MR or X-ray.
    """
    if image.ndim == 2:
        return image
    first: npt.NDArray[np.uint8] = image[..., 0]
    if (image[..., 1] != first).any() or (image[..., 2] != first).any():
        raise DataContractError("a colour picture", expected="grey", next="is this the modality of recipe.name?")
    return first


def resized(picture: npt.NDArray[np.generic], box: Box, size: int) -> npt.NDArray[np.generic]:
    """`box` of a picture [H, W] or [H, W, C], in its own numbers, [size, size] or [size, size, C]."""
    cut: npt.NDArray[np.generic] = cv2.resize(picture[box.window], (size, size), interpolation=interpolation(box, size))
    return cut


def rescaled(values: npt.NDArray[np.generic], low: float, high: float) -> Pixels:
    """`low` and what is below becomes 0, `high` and what is above 255, the rest is linear between; uint8."""
    scale = 255 / (high - low) if high > low else 0.0
    levels = (values.astype(np.float32) - np.float32(low)) * np.float32(scale)
    found: Pixels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return found


def between_percentiles(values: npt.NDArray[np.generic], percentiles: tuple[float, float]) -> Pixels:
    """The range between two percentiles of the values becomes 0 to 255, uint8; all 0 where there is no range."""
    low, high = np.percentile(values.astype(np.float32), percentiles)
    return rescaled(values, float(low), float(high))


def as_channels(planes: Sequence[Pixels]) -> Pixels:
    """Three channels [S, S, 3] of one to three planes [S, S]; the last one fills what is left."""
    merged: Pixels = cv2.merge([planes[min(i, len(planes) - 1)] for i in range(3)])
    return merged


def equalise(frame: Pixels, clip: float, tiles: int) -> Pixels:
    """Contrast-limited adaptive histogram equalisation (CLAHE) of each channel of [S, S, 3], or of [S, S].

    Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
    """
    if clip == 0:
        return frame
    # Each channel alone, because equalising undoes whatever curve and gain the camera gave that channel. A linear pixel
    # classifier of the disc, learned on one of two public cameras, ranks the other's pixels with an AUC of .965 and
    # .950 so, against .874 and .950 on lightness (Lab), .934 and .918 on value (HSV), .904 and .984 with none.
    clahe = cv2.createCLAHE(clip, (tiles, tiles))  # made anew: it has buffers that threads must not share
    planes = [clahe.apply(channel) for channel in cv2.split(frame)]
    equalised: Pixels = cv2.merge(planes) if len(planes) > 1 else planes[0]
    return equalised
