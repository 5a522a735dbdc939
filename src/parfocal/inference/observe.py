"""What is kept of an answered photograph: numbers about its look, its framing and what was found, and no picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture, shown
from parfocal.preprocessing.roi import Box

DARK = 12
"""Grey value up to which a pixel belongs to the black surround of the field of view; of 255."""
OUTLINE = 128
"""Pixels on the longer side of the mask that a circularity is measured on, at most twice: it does not depend on size,
and an outline in every pixel of a large photograph would take longer than all the rest."""
MIDDLE = 256
"""Pixels, side of the square in which detail is measured."""
_P = np.clip(np.arange(256) / 255.0, 1e-9, 1.0 - 1e-9)
ENTROPY: NDArray[np.float64] = -(_P * np.log2(_P) + (1.0 - _P) * np.log2(1.0 - _P))
"""Bits of a pixel whose probability is so many 255ths."""


@dataclass(frozen=True, slots=True)
class Description:
    """The numbers of an observation.

    Attributes:
        embedding: spatial means of every encoder level of the innermost structure's network. What that network sees is
            cropped to the structure round it and scaled, so framing is told from appearance before anything is
            measured. Empty when there was no such crop.
        shape: by structure, `area` (fraction of the image), `x` and `y` (its centre, fraction of width and height),
            `radius` (of a disc of that area, fraction of the field's diameter), `circularity` (4 pi area over the
            outline's length squared: about 0.9 for a disc of pixels) and `empty` (0 or 1). Of what the network said,
            before cleaning: `probability` (mean where it is at least one half), `entropy` (bits a pixel, mean over the
            frame), `components` (pieces at one half) and, of a structure inside another, `outside` (part of it that
            lay outside the other's mask, and was cut off). An empty structure has `empty` alone.
        acquisition: `width` and `height` in pixels; `field.area`, `field.width` and `field.height`, the lit field of
            view as fractions of the image; `sharpness`, the mean of the absolute Laplacian in the middle of the
            picture, pixel by pixel, in grey levels, and `flat`, the part of it where that is at most 1: focus, grain
            and compression, which are gone in the small frame that a network sees; and `make`, `model`, `lens` and
            `device` of the camera, those that the file names (`parfocal.inference.camera`).
    """

    embedding: tuple[float, ...]
    shape: dict[str, float]
    acquisition: dict[str, float | str]


def describe(image: Picture, prediction: Prediction, camera: Mapping[str, str] = MappingProxyType({})) -> Description:
    """Describe a picture, uint8 BGR [H, W, 3] or uint16 grey [H, W], and what was found in it.

    Args:
        camera: what took it, where its file says.
    """
    image = shown(image)
    acquisition = _field_of_view(image) | _detail(image)
    height, width = image.shape[:2]
    diameter = max(acquisition["field.width"] * width, acquisition["field.height"] * height) or max(height, width)
    shape: dict[str, float] = {}
    outer: NDArray[np.bool_] | None = None
    for name, mask in prediction.masks.items():
        found = _shape(mask, diameter, prediction.boxes[name])
        if not found["empty"] and name in prediction.probabilities:
            found |= _answer(prediction.probabilities[name], prediction.boxes[name], outer)
        shape |= {f"{name}.{key}": value for key, value in found.items()}
        outer = mask
    innermost = list(prediction.masks)[-1]
    embedding = prediction.features.get(innermost)
    return Description(() if embedding is None else tuple(embedding.tolist()), shape, {**acquisition, **camera})


def _field_of_view(image: NDArray[np.uint8]) -> dict[str, float]:
    """Size of the image and of the lit part of it, measured on single pixels, about 256 of them on a side."""
    height, width = image.shape[:2]
    step = max(1, max(height, width) // 256)
    points = cv2.resize(image, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_NEAREST)
    lit = cv2.cvtColor(points, cv2.COLOR_BGR2GRAY) > DARK
    columns, rows = np.flatnonzero(lit.any(0)), np.flatnonzero(lit.any(1))
    return {
        "width": float(width),
        "height": float(height),
        "field.area": float(lit.mean()),
        "field.width": float(columns[-1] - columns[0] + 1) / lit.shape[1] if len(columns) else 0.0,
        "field.height": float(rows[-1] - rows[0] + 1) / lit.shape[0] if len(rows) else 0.0,
    }


def _detail(image: NDArray[np.uint8]) -> dict[str, float]:
    height, width = image.shape[:2]
    top, left = max(0, (height - MIDDLE) // 2), max(0, (width - MIDDLE) // 2)
    grey = cv2.cvtColor(image[top : top + MIDDLE, left : left + MIDDLE], cv2.COLOR_BGR2GRAY)
    levels = np.bincount(cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S)).ravel(), minlength=256)
    return {"sharpness": float(levels @ np.arange(256)) / grey.size, "flat": float(levels[:2].sum()) / grey.size}


def _shape(mask: NDArray[np.bool_], diameter: float, box: Box | None) -> dict[str, float]:
    """Of a mask [H, W] that is empty outside `box`, where one is given."""
    inside = mask if box is None else mask[box.window]
    rows = np.flatnonzero(inside.any(axis=1))  # four times as quick as cv2.boundingRect on a large photograph
    if not len(rows):
        return {"empty": 1.0}
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    top, left = int(rows[0]) + (box.top if box else 0), int(columns[0]) + (box.left if box else 0)
    bottom, right = top + int(rows[-1] - rows[0]) + 1, left + int(columns[-1] - columns[0]) + 1
    piece = np.ascontiguousarray(mask[top:bottom, left:right]).view(np.uint8)
    moments = cv2.moments(piece, binaryImage=True)
    area = moments["m00"]
    height, width = mask.shape
    return {
        "empty": 0.0,
        "area": area / (height * width),
        "x": (left + moments["m10"] / area) / width,
        "y": (top + moments["m01"] / area) / height,
        "radius": float(np.sqrt(area / np.pi)) / diameter,
        "circularity": _circularity(piece),
    }


def _circularity(piece: NDArray[np.uint8]) -> float:
    """Of a mask {0, 1} that fills its array, all pieces together; at most 1."""
    step = max(1, max(piece.shape) // OUTLINE)
    small = np.ascontiguousarray(piece[::step, ::step])
    outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = sum(cv2.arcLength(outline, True) for outline in outlines)
    return min(4.0 * np.pi * float(np.count_nonzero(small)) / length**2, 1.0) if length else 1.0


def _answer(probability: NDArray[np.float32], box: Box | None, outer: NDArray[np.bool_] | None) -> dict[str, float]:
    """What a network said in its frame [S, S], whose box in the picture is `box`."""
    levels = cv2.convertScaleAbs(probability, alpha=255.0)
    raw = probability >= 0.5
    count = int(np.count_nonzero(raw))
    found = {
        "probability": float(probability[raw].mean()) if count else 0.0,
        "entropy": float(np.bincount(levels.ravel(), minlength=256) @ ENTROPY) / levels.size,
        "components": float(cv2.connectedComponents(raw.view(np.uint8))[0] - 1),
    }
    if outer is not None and box is not None:
        size = (raw.shape[1], raw.shape[0])
        allowed = cv2.resize(outer[box.window].view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        found["outside"] = float(np.count_nonzero(raw & (allowed == 0))) / count if count else 0.0
    return found
