"""Our measures against those that others rely on: SimpleITK (ITK), MONAI and SciPy, on any masks."""

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from scipy.spatial.distance import directed_hausdorff

from parfocal.evaluation import metrics

SPACINGS = st.sampled_from([None, (0.5, 0.5), (0.7, 0.3)])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one shape: noise, or noise thinned out so that pieces and single pixels appear."""
    shape = draw(st.tuples(st.integers(3, 14), st.integers(3, 14)))
    one, other = (draw(arrays(bool, shape, elements=st.booleans())) for _ in range(2))
    return one, other & draw(st.one_of(st.just(np.ones(shape, bool)), arrays(bool, shape)))


def itk(mask: np.ndarray, spacing: tuple[float, float] | None = None) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    if spacing:
        image.SetSpacing((spacing[1], spacing[0]))  # ITK counts columns first
    return image


def tensor(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]


@given(pairs())
@settings(max_examples=80, deadline=None)
def test_dice_and_iou_are_those_of_simpleitk_and_monai(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    assume(a.any() and b.any())
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(itk(a), itk(b))
    assert metrics.dice(a, b) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-12)
    assert metrics.iou(a, b) == pytest.approx(overlap.GetJaccardCoefficient(), abs=1e-12)
    assert metrics.dice(a, b) == pytest.approx(float(compute_dice(tensor(a), tensor(b))), abs=1e-6)
    assert metrics.iou(a, b) == pytest.approx(float(compute_iou(tensor(a), tensor(b))), abs=1e-6)


@given(pairs(), SPACINGS)
@settings(max_examples=80, deadline=None)
def test_both_distances_are_monais(pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float] | None) -> None:
    a, b = pair
    assume(a.any() and b.any())
    # A frame of background: MONAI would take a mask that fills its picture for one without a boundary.
    padded = [tensor(np.pad(mask, 1)) for mask in (a, b)]
    theirs = [
        float(compute_hausdorff_distance(*padded, include_background=True, percentile=percentile, spacing=spacing))
        for percentile in (None, 95)
    ]
    assert metrics.hausdorff(a, b, spacing) == pytest.approx(theirs, abs=1e-5)


@given(pairs(), SPACINGS)
@settings(max_examples=80, deadline=None)
def test_the_hausdorff_distance_is_simpleitks_and_scipys_between_boundaries(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float] | None
) -> None:
    a, b = pair
    assume(a.any() and b.any())
    # ITK and SciPy compare whole sets of points; the sets are the boundaries, as ITK draws them.
    edges = [SimpleITK.BinaryContour(itk(mask, spacing), fullyConnected=False) for mask in (a, b)]
    measure = SimpleITK.HausdorffDistanceImageFilter()
    measure.Execute(*edges)
    ours = metrics.hausdorff(a, b, spacing)[0]
    assert ours == pytest.approx(measure.GetHausdorffDistance(), abs=1e-5)
    points = [np.argwhere(SimpleITK.GetArrayFromImage(edge)) * np.array(spacing or (1, 1)) for edge in edges]
    scipy = max(directed_hausdorff(points[0], points[1])[0], directed_hausdorff(points[1], points[0])[0])
    assert ours == pytest.approx(scipy, abs=1e-9)


@given(pairs(), st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_moving_both_masks_together_changes_nothing(pair: tuple[np.ndarray, np.ndarray], down: int, right: int) -> None:
    moved = [np.pad(mask, ((down, 5 - down), (right, 5 - right))) for mask in pair]
    assert metrics.dice(*moved) == metrics.dice(*pair)
    if pair[0].any() and pair[1].any():
        assert metrics.hausdorff(*moved) == pytest.approx(metrics.hausdorff(*pair), abs=1e-9)


@given(arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)), arrays(bool, (6, 7)))
@settings(max_examples=80, deadline=None)
def test_squares_in_the_denominator_never_lower_a_soft_dice_and_leave_a_binary_one(
    probability: np.ndarray, true: np.ndarray
) -> None:
    assert metrics.soft_dice_squared(probability, true) >= metrics.soft_dice(probability, true) - 1e-12
    mask = probability >= 0.5
    for soft in (metrics.soft_dice, metrics.soft_dice_squared):
        assert soft(mask.astype(np.float32), true) == pytest.approx(metrics.dice(mask, true), abs=1e-12)
        assert 0 <= soft(probability, true) <= 1 + 1e-12
