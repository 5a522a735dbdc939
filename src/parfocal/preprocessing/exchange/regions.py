"""Regions as Label Studio keeps them, to masks: coordinates are percents of the picture's width and height.

Label Studio's results: https://labelstud.io/guide/task_format and the pages of the tags BrushLabels, PolygonLabels,
EllipseLabels, RectangleLabels, KeyPointLabels. A pixel is in where its centre is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.preprocessing.exchange import label_studio_rle

Mask = NDArray[np.bool_]


def brush(value: Mapping[str, Any], height: int, width: int) -> Mask:
    """Of `rle`, where `format` says so."""
    if value.get("format") != "rle":
        raise DataContractError(f"a brush as '{value.get('format')}'", expected="rle")
    return label_studio_rle.decode(value["rle"], height, width)


def polygon(value: Mapping[str, Any], height: int, width: int) -> Mask:
    """Of `points`, at least three."""
    corners = np.array(value["points"], float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise DataContractError("a polygon without three corners")
    return _filled(corners / 100 * (width, height), height, width)


def rectangle(value: Mapping[str, Any], height: int, width: int) -> Mask:
    """Of `x`, `y`, `width`, `height`, turned clockwise by `rotation` degrees about its corner."""
    x, y, across, down, turn = _numbers(value, "x", "y", "width", "height", "rotation")
    corners = np.array([(0, 0), (across, 0), (across, down), (0, down)]) / 100 * (width, height)
    turned = corners @ _turn(turn).T + np.array((x, y)) / 100 * (width, height)
    return _filled(turned, height, width)


def ellipse(value: Mapping[str, Any], height: int, width: int) -> Mask:
    """Of its centre `x`, `y` and `radiusX`, `radiusY`, turned clockwise by `rotation` degrees."""
    x, y, across, down, turn = _numbers(value, "x", "y", "radiusX", "radiusY", "rotation")
    if across <= 0 or down <= 0:
        raise DataContractError("an ellipse without radii")
    rows, columns = np.mgrid[:height, :width] + 0.5
    away = np.stack([columns - x / 100 * width, rows - y / 100 * height], -1) @ _turn(turn)
    inside: Mask = (away[..., 0] / (across / 100 * width)) ** 2 + (away[..., 1] / (down / 100 * height)) ** 2 <= 1
    return inside


def point(value: Mapping[str, Any], height: int, width: int) -> tuple[float, float]:
    """(x, y) in pixels of a key point."""
    x, y = _numbers(value, "x", "y")
    return x / 100 * width, y / 100 * height


SHAPES: Mapping[str, Callable[[Mapping[str, Any], int, int], Mask]] = {
    "brush": brush,
    "polygon": polygon,
    "rectangle": rectangle,
    "ellipse": ellipse,
}
"""By the beginning of a result's type: `brush` or `brushlabels`."""


def _filled(corners: NDArray[np.float64], height: int, width: int) -> Mask:
    """By the even-odd rule along each row's middle; OpenCV's own would take every pixel that an edge touches."""
    crossed = np.zeros((height, width + 1), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        top, bottom = sorted((y0, y1))
        rows = np.arange(max(0, math.ceil(top - 0.5)), min(height, math.ceil(bottom - 0.5)))
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossed[rows, np.ceil(x - 0.5).clip(0, width).astype(int)] ^= True
    inside: Mask = np.logical_xor.accumulate(crossed, axis=1)[:, :width]
    return inside


def _turn(degrees: float) -> NDArray[np.float64]:
    """Clockwise, as the picture is seen: y leads down."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


def _numbers(value: Mapping[str, Any], *names: str) -> list[float]:
    try:
        found = [float(value.get(name, 0) if name == "rotation" else value[name]) for name in names]
    except (KeyError, TypeError, ValueError):
        raise DataContractError("a region without its numbers", expected=", ".join(names)) from None
    if not all(map(math.isfinite, found)):
        raise DataContractError("a region that lies nowhere")
    return found
