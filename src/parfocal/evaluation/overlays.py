"""Pictures of cases with their contours: a crop of the photograph under lines that the page can show and hide."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.evaluation.metrics import Mask
from parfocal.preprocessing import images

_SIDE = 360  # pixels of the longer side of a picture
_ROOM = 0.35  # of the longer side of what is drawn, left free round it
_SMALLEST = 48  # source pixels of a crop's side
COLOURS = ((80, 220, 80), (60, 120, 255), (255, 160, 60), (220, 80, 220))
"""BGR, of the structures' outlines in their order."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One case of the gallery.

    Attributes:
        kind: ``best`` or ``worst``, by the challenger's Dice, or ``radius lost`` (`crossings`).
        dice: by model.
        uri: JPEG of the crop as a data URI.
        width, height: of the crop in source pixels, the unit of the outlines.
        outlines: SVG path data by name: ``truth``, ``challenger``, and ``champion`` where it is shown.
    """

    instrument: str
    structure: str
    kind: str
    case: str
    dice: Mapping[str, float]
    uri: str
    width: int
    height: int
    outlines: Mapping[str, str]


def picture(
    instrument: str,
    structure: str,
    kind: str,
    case: str,
    dice: Mapping[str, float],
    image: images.Picture,
    masks: Mapping[str, Mask],
) -> Picture:
    """Cut a picture (BGR uint8 [H, W, 3], grey uint16 [H, W]) round all of `masks`, bool [H, W], and trace them."""
    window = _window(np.logical_or.reduce(list(masks.values())))
    crop = np.ascontiguousarray(images.shown(image)[window])
    height, width = crop.shape[:2]
    scale = min(_SIDE / max(height, width), 4.0)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(crop, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=method)
    data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    outlines = {name: _outline(mask[window]) for name, mask in masks.items()}
    uri = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    return Picture(instrument, structure, kind, case, dict(dice), uri, width, height, outlines)


def _window(mask: Mask) -> tuple[slice, slice]:
    """A square round a mask with some room, moved and cut to fit the image; the whole image for an empty mask."""
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    side = max(round(max(width, height) * (1 + 2 * _ROOM)), _SMALLEST)

    def along(start: int, length: int, size: int) -> slice:
        begin = int(np.clip(start + length // 2 - side // 2, 0, max(size - side, 0)))
        return slice(begin, min(begin + side, size))

    return along(top, height, mask.shape[0]), along(left, width, mask.shape[1])


def _outline(mask: Mask) -> str:
    """SVG path data through the centres of the mask's outermost pixels, closed."""
    traced, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    return " ".join("M" + "L".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in line[:, 0].tolist()) + "Z" for line in traced)


def outlined(image: images.Picture, masks: Mapping[str, Mask]) -> bytes:
    """JPEG of a whole picture with the outline of every mask, bool [H, W], in the order of `COLOURS`."""
    drawn = images.shown(image).copy()
    width = max(1, round(max(image.shape[:2]) / 500))
    for (_, mask), colour in zip(masks.items(), COLOURS * len(masks), strict=False):
        lines, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines, -1, colour, width, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
