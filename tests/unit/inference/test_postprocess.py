import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from parfocal.inference.postprocess import clean, fill_holes, largest_component
from parfocal.preprocessing.roi import Box, mask_from_frame

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_the_largest_piece_stays() -> None:
    mask = drawn("##...", "##..#", "....#")
    np.testing.assert_array_equal(largest_component(mask), drawn("##...", "##...", "....."))


def test_pieces_that_touch_at_a_corner_are_two() -> None:
    assert largest_component(drawn("##.", "##.", "..#")).sum() == 4


def test_nothing_stays_nothing() -> None:
    assert not largest_component(np.zeros((3, 4), bool)).any()
    assert not fill_holes(np.zeros((3, 4), bool)).any()


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = drawn("####.", "#..#.", "####.", "#..##", "#..#.")
    np.testing.assert_array_equal(fill_holes(mask), drawn("####.", "####.", "####.", "#..##", "#..#."))


def test_a_mask_that_fills_the_frame_is_left_alone() -> None:
    assert fill_holes(np.ones((3, 4), bool)).all()


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_cleaning_twice_is_cleaning_once_and_a_filled_mask_only_grows(mask: np.ndarray) -> None:
    piece = largest_component(mask)
    filled = fill_holes(piece)
    assert not (piece & ~mask).any()
    assert not (piece & ~filled).any()
    np.testing.assert_array_equal(largest_component(filled), filled)
    np.testing.assert_array_equal(fill_holes(filled), filled)


@given(arrays(np.float32, (8, 8), elements=st.floats(0, 1, width=16)), st.floats(0.125, 0.875, width=16))
@settings(max_examples=200, deadline=None)
def test_cleaned_probabilities_cross_the_threshold_on_one_filled_piece(
    probability: np.ndarray, threshold: float
) -> None:
    expected = fill_holes(largest_component(probability >= threshold))
    cleaned = clean(probability, threshold)
    np.testing.assert_array_equal(cleaned >= threshold, expected)
    assert cleaned.dtype == np.float32


def test_one_piece_in_the_frame_is_one_piece_in_the_photograph() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        field = cv2.GaussianBlur(rng.random((32, 32)).astype(np.float32), (0, 0), 2)
        cleaned = clean(field, 0.5)
        assert ((field >= 0.5) & (cleaned < 0.5)).any(), "there was something to clean"
        mask = mask_from_frame(cleaned, Box(10, 20, 170, 150), 200, 200) >= 0.5
        np.testing.assert_array_equal(largest_component(mask), mask)
