import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from parfocal.evaluation import metrics

EMPTY = np.zeros((12, 9), bool)


def box(top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def masks(shape: tuple[int, int] = (12, 9)) -> st.SearchStrategy[np.ndarray]:
    return arrays(bool, shape, elements=st.booleans())


def brute(a: np.ndarray, b: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
    """Hausdorff distance and HD95 by comparing every boundary pixel with every other, from scipy's erosion."""
    points = [np.argwhere(m & ~binary_erosion(m)) * np.array(spacing) for m in (a, b)]
    table = cdist(*points)
    there, back = table.min(1), table.min(0)
    return max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def blob(rng: np.random.Generator, height: int = 480, width: int = 500) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    row, column = rng.uniform(0.3, 0.7, 2) * (height, width)
    angle = np.arctan2(rows - row, columns - column)
    radius = rng.uniform(30, 120) * (1 + 0.3 * np.sin(rng.integers(1, 7) * angle + rng.uniform(0, 6)))
    return np.hypot(rows - row, columns - column) < radius


def test_dice_and_iou_of_two_boxes_by_hand() -> None:
    a, b = box(0, 0, 4, 5), box(2, 0, 6, 5)  # 20 and 20 pixels, 10 in common
    assert metrics.dice(a, b) == 2 * 10 / 40
    assert metrics.iou(a, b) == 10 / 30


def test_empty_against_empty_is_one_and_counted() -> None:
    scores = metrics.score_case(EMPTY, EMPTY)
    assert (scores["dice"], scores["iou"], scores["hausdorff"], scores["both_empty"]) == (1, 1, 0, 1)
    assert metrics.score_case(EMPTY, ~EMPTY)["both_empty"] == 0


def test_an_empty_mask_where_there_is_something_is_a_diagonal_away() -> None:
    scores = metrics.score_case(np.zeros((30, 40), bool), box(3, 3, 5, 5, (30, 40)), (0.1, 0.1))
    assert scores["dice"] == scores["iou"] == 0
    assert scores["hausdorff"] == scores["hd95"] == 50
    assert scores["hausdorff_mm"] == pytest.approx(5)


def test_scores_are_finite_so_that_json_can_say_them() -> None:
    for a, b in [(EMPTY, EMPTY), (EMPTY, ~EMPTY), (~EMPTY, EMPTY), (~EMPTY, ~EMPTY)]:
        scores = metrics.score_case(a, b)
        assert all(math.isfinite(value) for value in scores.values())
        assert ("radii_ratio" in scores) == b.any()


def test_the_two_soft_dices_agree_on_binary_masks_and_differ_on_soft_ones() -> None:
    true = np.array([[True, True, False, False]])
    binary, soft = np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([[0.5, 0.5, 0.5, 0.0]])
    assert metrics.soft_dice(binary, true) == metrics.soft_dice_squared(binary, true) == 0.5
    assert metrics.soft_dice(soft, true) == pytest.approx(2 * 1 / (1.5 + 2))
    assert metrics.soft_dice_squared(soft, true) == pytest.approx(2 * 1 / (0.75 + 2))
    assert metrics.soft_dice(soft * 0, ~true & true) == metrics.soft_dice_squared(soft * 0, ~true & true) == 1


def test_hausdorff_of_a_shifted_box_is_the_shift() -> None:
    a = box(5, 5, 15, 15)
    assert metrics.hausdorff(a, np.roll(a, 7, axis=1)) == (7, 7)
    assert metrics.hausdorff(a, np.roll(a, (6, 8), axis=(0, 1)))[0] == 10


def test_one_stray_pixel_moves_hausdorff_and_not_hd95() -> None:
    a = box(5, 5, 25, 25)
    b = a.copy()
    b[38, 15] = True
    assert metrics.hausdorff(b, a) == (14, 0)


def test_a_hole_has_a_boundary_too() -> None:
    a = box(5, 5, 26, 26)
    b = a & ~box(15, 15, 16, 16)
    assert metrics.hausdorff(a, b)[0] == 9  # from the hole's rim at 14 to the box's edge at 5


@pytest.mark.parametrize("seed", range(6))
def test_distances_equal_a_brute_force_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = blob(rng), blob(rng)
    assert metrics.hausdorff(a, b) == pytest.approx(brute(a, b), abs=1e-9)
    assert metrics.hausdorff(a, b, (0.02, 0.02)) == pytest.approx(brute(a, b, (0.02, 0.02)), abs=1e-9)
    assert metrics.hausdorff(a, b, (0.5, 0.3)) == pytest.approx(brute(a, b, (0.5, 0.3)), abs=1e-9)


def test_long_ragged_boundaries_take_another_way_to_the_same_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    a, b = blob(rng), blob(rng)
    compared = metrics.hausdorff(a, b, (0.1, 0.1))
    monkeypatch.setattr(metrics, "_POINTS", 0)
    assert metrics.hausdorff(a, b, (0.1, 0.1)) == pytest.approx(compared, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(masks(), masks())
def test_distances_of_any_masks_equal_the_reference(a: np.ndarray, b: np.ndarray) -> None:
    if a.any() and b.any():
        assert metrics.hausdorff(a, b) == pytest.approx(brute(a, b), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(masks(), masks())
def test_overlap_and_distance_are_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    assert metrics.dice(a, b) == metrics.dice(b, a)
    assert metrics.hausdorff(a, b) == metrics.hausdorff(b, a)
    far, far95 = metrics.hausdorff(a, b)
    assert 0 <= far95 <= far <= math.hypot(*a.shape)
    dice, iou = metrics.dice(a, b), metrics.iou(a, b)
    assert 0 <= iou <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))
    assert (dice == 1) == (far == 0 and np.array_equal(a, b)) or not np.array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(masks())
def test_a_mask_agrees_fully_with_itself(a: np.ndarray) -> None:
    scores = metrics.score_case(a, a.copy())
    assert (scores["dice"], scores["iou"], scores["hausdorff"], scores["hd95"]) == (1, 1, 0, 0)


def test_the_papers_distance_does_not_see_a_mask_that_moved_down() -> None:
    a = box(2, 10, 8, 20, (60, 60))
    b = np.roll(a, 40, axis=0)
    assert metrics.row_hausdorff_legacy(a, b) == 0
    assert metrics.hausdorff(a, b)[0] == 40
    assert metrics.row_hausdorff_legacy(a, np.roll(a, 5, axis=1)) == pytest.approx(math.sqrt(10))


def test_radii_ratio_is_of_lengths_not_areas() -> None:
    assert metrics.radii_ratio(box(0, 0, 20, 20), box(0, 0, 10, 10)) == 2
    assert metrics.radii_ratio(EMPTY, ~EMPTY) == 0
    assert metrics.radii_ratio(~EMPTY, EMPTY) is None


def test_rrp10_counts_images_within_ten_percent_and_a_missing_ratio_is_not() -> None:
    assert metrics.rrp10([1.0, 1.099, 0.901, 1.1001, 0.5, None, 1.0, 1.0]) == 100 * 5 / 8
    with pytest.raises(ValueError, match="no images"):
        metrics.rrp10([])


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="masks of"):
        metrics.score_case(EMPTY, EMPTY.T)
