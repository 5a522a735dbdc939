"""What is kept of an answered photograph: numbers about its look, its framing and what was found, and no picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture, shown

DARK = 12
"""Grey value up to which a pixel belongs to the black surround of the field of view; of 255."""


@dataclass(frozen=True, slots=True)
class Description:
    """The numbers of an observation.

    Attributes:
        embedding: spatial means of every encoder level of the innermost structure's network. What that network sees is
            cropped to the structure round it and scaled, so framing is told from appearance before anything is
            measured. Empty when there was no such crop.
        shape: by structure, `area` (fraction of the image), `x` and `y` (its centre, fraction of width and height),
            `radius` (of a disc of that area, fraction of the field's diameter), `probability` (mean inside its mask)
            and `empty` (0 or 1); an empty structure has the last one alone.
        acquisition: `width` and `height` in pixels; `field.area`, `field.width` and `field.height`, the lit field of
            view as fractions of the image.
    """

    embedding: tuple[float, ...]
    shape: dict[str, float]
    acquisition: dict[str, float]


def describe(image: Picture, prediction: Prediction) -> Description:
    """Describe a picture, uint8 BGR [H, W, 3] or uint16 grey [H, W], and what was found in it."""
    image = shown(image)
    acquisition = _field_of_view(image)
    height, width = image.shape[:2]
    diameter = max(acquisition["field.width"] * width, acquisition["field.height"] * height) or max(height, width)
    shape: dict[str, float] = {}
    for name, mask in prediction.masks.items():
        found = _shape(mask, diameter)
        if not found["empty"] and name in prediction.probabilities:
            found["probability"] = _certainty(prediction.probabilities[name])
        shape |= {f"{name}.{key}": value for key, value in found.items()}
    innermost = list(prediction.masks)[-1]
    embedding = prediction.features.get(innermost)
    return Description(() if embedding is None else tuple(embedding.tolist()), shape, acquisition)


def _field_of_view(image: NDArray[np.uint8]) -> dict[str, float]:
    """Size of the image and of the lit part of it, measured on every n-th pixel so that about 256 remain on a side."""
    height, width = image.shape[:2]
    step = max(1, max(height, width) // 256)
    lit = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY) > DARK
    columns, rows = np.flatnonzero(lit.any(0)), np.flatnonzero(lit.any(1))
    return {
        "width": float(width),
        "height": float(height),
        "field.area": float(lit.mean()),
        "field.width": float(columns[-1] - columns[0] + 1) / lit.shape[1] if len(columns) else 0.0,
        "field.height": float(rows[-1] - rows[0] + 1) / lit.shape[0] if len(rows) else 0.0,
    }


def _shape(mask: NDArray[np.bool_], diameter: float) -> dict[str, float]:
    left, top, columns, rows = cv2.boundingRect(mask.view(np.uint8))
    if not columns:
        return {"empty": 1.0}
    moments = cv2.moments(mask[top : top + rows, left : left + columns].astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    height, width = mask.shape
    return {
        "empty": 0.0,
        "area": area / (height * width),
        "x": (left + moments["m10"] / area) / width,
        "y": (top + moments["m01"] / area) / height,
        "radius": float(np.sqrt(area / np.pi)) / diameter,
    }


def _certainty(probability: NDArray[np.float32]) -> float:
    inside = probability[probability >= 0.5]
    return float(inside.mean()) if len(inside) else 0.0
