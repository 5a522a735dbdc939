"""What can happen to a photograph between two days: simulated changes of an instrument, picture and truth together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.preprocessing.images import Pixels

Masks = Mapping[str, NDArray[np.bool_]]
Changed = tuple[Pixels, Masks]
Change = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Of a picture, uint8 BGR [H, W, 3], at a strength above 0: 1 is strong, 0.5 is milder."""


def blur(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Out of focus: sigma of 1 % of the width."""
    soft: Pixels = cv2.GaussianBlur(image, (0, 0), 0.01 * strength * image.shape[1])
    return soft


def brightness(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Less light: a third of it."""
    dark: Pixels = cv2.convertScaleAbs(image, alpha=3.0**-strength)
    return dark


def colour_cast(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Another white balance: half as much red again, a third less blue."""
    gains = np.array([1.5**-strength, 1.0, 1.5**strength])
    cast: Pixels = np.clip(image * gains, 0, 255).astype(np.uint8)
    return cast


def vignette(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Dark towards the corners: a tenth of the light at half the diagonal."""
    height, width = image.shape[:2]
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    light = 0.1 ** (strength * (x * x + y * y) / 2.0)
    shaded: Pixels = (image * light[..., None]).astype(np.uint8)
    return shaded


def noise(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """A grainy sensor: a standard deviation of 40 grey levels."""
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(40.0 * strength)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def compression(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """A smaller file: JPEG of quality 5, at half strength 15."""
    quality = max(round(25 - 20 * strength), 1)
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR), np.uint8
    )


CHANGES: Mapping[str, Change] = {
    "blur": blur, "brightness": brightness, "colour cast": colour_cast, "vignette": vignette, "noise": noise,
    "compression": compression,
}  # fmt: skip
FRAMING = "framing"
ARMS = (*CHANGES, FRAMING)


def apply(name: str, image: Pixels, masks: Masks, strength: float, rng: np.random.Generator) -> Changed:
    """A change of `ARMS`; masks bool [H, W] change with the picture where its framing does."""
    if name != FRAMING:
        return CHANGES[name](image, strength, rng), masks
    return closer(image, masks, 1.0 - 0.45 * strength)


def closer(image: Pixels, masks: Masks, part: float) -> Changed:
    """Taken from nearer: the middle `part` of each side, as many pixels as before."""
    height, width = image.shape[:2]
    rows, columns = round(height * (1 - part) / 2), round(width * (1 - part) / 2)
    window = slice(rows, height - rows), slice(columns, width - columns)
    near = cv2.resize(image[window], (width, height), interpolation=cv2.INTER_LINEAR)
    cut = {
        name: cv2.resize(mask[window].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for name, mask in masks.items()
    }
    return near, cut
