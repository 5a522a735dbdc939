"""Agreement of two masks. Every ambiguity of these measures is settled here, once.

Masks are bool [H, W] of one shape. numpy and OpenCV alone: a case of 500 x 500 pixels takes about a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Spacing = tuple[float, float]
"""(row, column) size of a pixel in millimetres."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_WHOLE = 2000  # pixels of a side; below it squared distances, whole numbers, are exact in float32
_POINTS = 2**21  # pairs of boundary pixels; beyond them a distance transform is faster than comparing all


def dice(predicted: Mask, true: Mask) -> float:
    """2TP / (2TP + FP + FN) in [0, 1]; empty against empty is 1."""
    total = area(predicted) + area(true)
    return 2 * area(predicted & true) / total if total else 1.0


def iou(predicted: Mask, true: Mask) -> float:
    """TP / (TP + FP + FN) in [0, 1], no smoothing constant (paper 002's code adds 1); empty against empty is 1."""
    union = area(predicted | true)
    return area(predicted & true) / union if union else 1.0


def soft_dice(probability: NDArray[np.floating], true: Mask) -> float:
    """2 sum(pt) / (sum p + sum t) of probabilities in [0, 1]; nothing against nothing is 1."""
    p = probability.astype(np.float64)
    below = float(p.sum()) + area(true)
    return 2 * float(p[true].sum()) / below if below else 1.0


def soft_dice_squared(probability: NDArray[np.floating], true: Mask) -> float:
    """2 sum(pt) / (sum p^2 + sum t^2) (V-Net, Milletari and others 2016; paper 003): above `soft_dice` if unsure."""
    p = probability.astype(np.float64)
    below = float((p * p).sum()) + area(true)
    return 2 * float(p[true].sum()) / below if below else 1.0


def area(mask: Mask) -> int:
    """Pixels inside."""
    return int(np.count_nonzero(mask))


def radius(mask: Mask) -> float:
    """Mean radius in pixels: sqrt(area / pi) (paper 001)."""
    return math.sqrt(area(mask) / math.pi)


def radii_ratio(predicted: Mask, true: Mask) -> float | None:
    """Predicted over true mean radius; None when the true mask is empty."""
    outer = radius(true)
    return radius(predicted) / outer if outer else None


def near(ratio: float | None) -> bool:
    """Whether a `radii_ratio` is within 10 % of 1 (paper 001's RRP); without a true radius it is not."""
    return ratio is not None and abs(ratio - 1) < 0.10


def rrp10(ratios: Iterable[float | None]) -> float:
    """Percentage of images with |radii_ratio - 1| < 0.10 (paper 001's RRP); an image without a ratio is not one.

    Raises:
        ValueError: no images.
    """
    close = [near(ratio) for ratio in ratios]
    if not close:
        raise ValueError("a percentage of no images")
    return 100 * sum(close) / len(close)


def surface_distances(
    predicted: Mask, true: Mask, spacing: Spacing | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each boundary pixel of one mask to the other's boundary, in pixels, or mm with `spacing`.

    A boundary pixel belongs to the mask and has a neighbour above, below, left or right that does not; the image's
    edge counts as outside. Neither mask may be empty.

    Returns:
        Of the predicted mask's boundary, float64 [P], and of the true mask's, float64 [T].
    """
    left, top, width, height = cv2.boundingRect((predicted | true).view(np.uint8))
    window = slice(top, top + height), slice(left, left + width)
    one, other = (_boundary(mask[window]) for mask in (predicted, true))
    if spacing is not None and spacing[0] != spacing[1]:
        return _transformed(one, other, spacing), _transformed(other, one, spacing)
    unit = spacing[0] if spacing else 1.0
    points = [cv2.findNonZero(edge.view(np.uint8)).reshape(-1, 2).astype(np.float32) for edge in (one, other)]
    if max(one.shape) < _WHOLE and len(points[0]) * len(points[1]) <= _POINTS:
        there, back = _compared(*points)
        return there * unit, back * unit
    return _transformed(one, other, None) * unit, _transformed(other, one, None) * unit


def hausdorff(predicted: Mask, true: Mask, spacing: Spacing | None = None) -> tuple[float, float]:
    """Hausdorff distance and HD95, in pixels, or mm with `spacing`.

    The first is the larger of the two directed maxima over boundary pixels, the second the larger of the two directed
    95th percentiles (as MONAI has it; pooling both directions gives another number). Empty against empty is 0. One
    empty mask is as far off as anything can be, the image's diagonal, so that means stay finite and a model gains
    nothing by giving no answer.
    """
    if not predicted.any() or not true.any():
        if predicted.any() == true.any():
            return 0.0, 0.0
        rows, columns = spacing or (1.0, 1.0)
        diagonal = math.hypot(true.shape[0] * rows, true.shape[1] * columns)
        return diagonal, diagonal
    both = surface_distances(predicted, true, spacing)
    return max(float(d.max()) for d in both), max(float(np.percentile(d, 95)) for d in both)


def row_hausdorff_legacy(predicted: Mask, true: Mask) -> float:
    """What paper 002 published as a Hausdorff distance: image ROWS compared as points with a coordinate a column.

    Only to lay a table beside that paper's. It is 0 for a mask moved up or down by any distance.
    """
    from scipy.spatial.distance import directed_hausdorff

    a, b = predicted.astype(np.float64), true.astype(np.float64)
    return float(max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0]))


def score_case(predicted: Mask, true: Mask, spacing: Spacing | None = None) -> dict[str, float]:
    """All measures of one structure in one photograph.

    Returns:
        Finite numbers only; what is not defined is absent. ``dice``, ``iou`` in [0, 1]; ``hausdorff``, ``hd95`` in
        pixels, with `spacing` also ``hausdorff_mm``, ``hd95_mm``; ``radii_ratio`` unless the truth is empty; ``area``,
        ``area_true`` and, of the whole photograph, ``pixels``, in pixels; ``both_empty``, 1 for the empty pair whose
        Dice of 1 was given and not earned.

    Raises:
        ValueError: the masks differ in shape.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"masks of {predicted.shape} and {true.shape}")
    far, far95 = hausdorff(predicted, true)
    scores = {
        "dice": dice(predicted, true),
        "iou": iou(predicted, true),
        "hausdorff": far,
        "hd95": far95,
        "area": float(area(predicted)),
        "area_true": float(area(true)),
        "pixels": float(true.size),
        "both_empty": float(not predicted.any() and not true.any()),
    }
    ratio = radii_ratio(predicted, true)
    if ratio is not None:
        scores["radii_ratio"] = ratio
    if spacing is not None:
        scores["hausdorff_mm"], scores["hd95_mm"] = hausdorff(predicted, true, spacing)
    return scores


def _boundary(mask: Mask) -> Mask:
    inner = cv2.erode(np.ascontiguousarray(mask).view(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    edge: Mask = mask & (inner == 0)
    return edge


def _compared(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each point [P, 2] to the nearest of the other set [T, 2], both ways."""
    # Not as a product of matrices: its threads cost more than they bring at this size.
    squares, across = (np.subtract.outer(one[:, axis], other[:, axis]) for axis in (0, 1))
    squares *= squares
    across *= across
    squares += across
    return np.sqrt(squares.min(axis=1).astype(np.float64)), np.sqrt(squares.min(axis=0).astype(np.float64))


def _transformed(from_edge: Mask, to_edge: Mask, spacing: Spacing | None) -> NDArray[np.float64]:
    """Distance of every pixel of one edge to the nearest of the other, by a distance transform."""
    if spacing is not None:
        from scipy.ndimage import distance_transform_edt

        return np.asarray(distance_transform_edt(~to_edge, sampling=spacing)[from_edge], np.float64)
    transform = cv2.distanceTransform((~to_edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    pixels = np.asarray(transform[from_edge], np.float64)
    if max(to_edge.shape) < _WHOLE:  # the roots of whole numbers: that mends OpenCV's float32
        pixels = np.sqrt(np.rint(pixels * pixels))
    return pixels
