"""Agreement of two masks. Every ambiguity of these measures is settled here, once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(predicted: Mask, true: Mask) -> float:
    """2TP / (2TP + FP + FN) in [0, 1]; empty against empty is 1."""
    total = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / total if total else 1.0


def iou(predicted: Mask, true: Mask) -> float:
    """TP / (TP + FP + FN) in [0, 1], without a smoothing constant; empty against empty is 1."""
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def soft_dice(probability: NDArray[np.floating], true: Mask, *, squared: bool = False) -> float:
    """Dice of probabilities in [0, 1]: 2 sum(pt) / (sum p + sum t), or with squares below the line (paper 003).

    The two are the same on binary masks and differ on soft ones. Empty against empty is 1.
    """
    p, t = probability.astype(np.float64), true.astype(np.float64)
    below = float((p * p).sum() + (t * t).sum()) if squared else float(p.sum() + t.sum())
    return 2 * float((p * t).sum()) / below if below else 1.0


def radius(mask: Mask) -> float:
    """Mean radius in pixels: sqrt(area / pi) (paper 001)."""
    return math.sqrt(int(mask.sum()) / math.pi)


def radii_ratio(predicted: Mask, true: Mask) -> float:
    """Predicted over true mean radius; 1 for empty against empty, infinity where only the truth is empty."""
    r = radius(true)
    if r == 0:
        return 1.0 if not predicted.any() else math.inf
    return radius(predicted) / r


def rrp10(ratios: Sequence[float]) -> float:
    """Percentage of images whose predicted radius is within 10 % of the true one (paper 001's RRP)."""
    return 100.0 * sum(abs(ratio - 1) < 0.10 for ratio in ratios) / len(ratios) if ratios else math.nan


def surface_distances(
    predicted: Mask, true: Mask, spacing: tuple[float, float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of each mask's boundary pixels to the other's boundary, in pixels, or mm with `spacing` (row, column).

    A boundary pixel belongs to the mask and touches the background or the image's edge (4-neighbours). Both masks must
    hold at least one pixel.
    """
    (predicted, true) = _cropped(predicted, true)
    edges = [_boundary(mask) for mask in (predicted, true)]
    to_predicted, to_true = (_distance_to(edge, spacing) for edge in edges)
    return to_true[edges[0]].astype(np.float64), to_predicted[edges[1]].astype(np.float64)


def hausdorff(predicted: Mask, true: Mask, spacing: tuple[float, float] | None = None) -> tuple[float, float]:
    """Hausdorff distance and HD95, in pixels, or mm with `spacing`.

    The first is the symmetric maximum over boundary points, the second the larger of the two directed 95th
    percentiles. Empty against empty is 0; one empty mask is as far as the image is wide: its diagonal.
    """
    if not predicted.any() or not true.any():
        if predicted.any() == true.any():
            return 0.0, 0.0
        rows, columns = spacing or (1.0, 1.0)
        diagonal = math.hypot(true.shape[0] * rows, true.shape[1] * columns)
        return diagonal, diagonal
    there, back = surface_distances(predicted, true, spacing)
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return max(float(there.max()), float(back.max())), hd95


def row_hausdorff_legacy(predicted: Mask, true: Mask) -> float:
    """What paper 002 published as a Hausdorff distance: image ROWS compared as points with one coordinate a column.

    Only for laying a table beside that paper's: it reads 0.00 for a mask shifted along its rows' order.
    """
    from scipy.spatial.distance import directed_hausdorff

    a, b = predicted.astype(np.float64), true.astype(np.float64)
    return float(max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0]))


def score_case(predicted: Mask, true: Mask, spacing: tuple[float, float] | None = None) -> dict[str, float]:
    """All measures of one structure in one image; masks are bool [H, W] of one shape, in source pixels.

    Returns:
        ``dice``, ``iou`` in [0, 1]; ``hausdorff``, ``hd95`` in pixels (mm with `spacing`); ``radii_ratio``;
        ``area``, ``true_area`` in pixels; ``both_empty`` 0 or 1.
    """
    far, far95 = hausdorff(predicted, true, spacing)
    return {
        "dice": dice(predicted, true),
        "iou": iou(predicted, true),
        "hausdorff": far,
        "hd95": far95,
        "radii_ratio": radii_ratio(predicted, true),
        "area": float(predicted.sum()),
        "true_area": float(true.sum()),
        "both_empty": float(not predicted.any() and not true.any()),
    }


def _cropped(*masks: Mask) -> tuple[Mask, ...]:
    """Both masks cut to the box of their union, with a pixel of background round it."""
    left, top, width, height = cv2.boundingRect(np.logical_or.reduce(masks).astype(np.uint8))
    window = slice(top, top + height), slice(left, left + width)
    return tuple(np.pad(mask[window], 1) for mask in masks)


def _boundary(mask: Mask) -> Mask:
    inner = cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    edge: Mask = mask & (inner == 0)
    return edge


def _distance_to(edge: Mask, spacing: tuple[float, float] | None) -> NDArray[np.floating]:
    """Distance of every pixel to the nearest edge pixel."""
    if spacing is None or spacing[0] == spacing[1]:
        unit = spacing[0] if spacing else 1.0
        pixels = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(pixels, np.float64) * unit
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~edge, sampling=spacing), np.float64)
