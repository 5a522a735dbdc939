"""Boxes, and masks into the frame and back to where they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.preprocessing.roi import Box, mask_from_frame, mask_to_frame, structure_box, trim_box


def ellipse(height: int, width: int, y: float, x: float, ry: float, rx: float) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return ((((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2) <= 1).astype(np.uint8)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_border_is_trimmed_on_every_edge() -> None:
    assert trim_box(400, 600, 0.1) == Box(40, 60, 360, 540)
    assert trim_box(400, 600, 0.0) == Box(0, 0, 400, 600)


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 0.4999))
def test_a_trimmed_box_is_never_empty(height: int, width: int, border: float) -> None:
    box = trim_box(height, width, border)
    assert box.height >= 1
    assert box.width >= 1


def test_a_structures_box_grows_by_the_margin_of_its_own_sides_and_stays_in_the_image() -> None:
    mask = np.zeros((100, 200), np.uint8)
    mask[40:60, 100:140] = 1
    assert structure_box(mask, 0.1) == Box(38, 96, 62, 144)
    assert structure_box(mask.astype(bool), 0.0) == Box(40, 100, 60, 140)
    mask[:] = 1
    assert structure_box(mask, 0.1) == Box(0, 0, 100, 200)


def test_an_empty_mask_has_no_box() -> None:
    assert structure_box(np.zeros((9, 9), np.uint8), 0.1) is None


@pytest.mark.parametrize(("height", "width"), [(1634, 1634), (425, 640), (90, 120)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_mask_comes_back_from_the_frame_to_where_it_was(height: int, width: int, kind: type) -> None:
    mask = ellipse(height, width, 0.45 * height, 0.6 * width, 0.12 * height, 0.1 * width)
    for box in (trim_box(height, width, 0.1), structure_box(mask, 0.1)):
        assert box is not None
        back = mask_from_frame(mask_to_frame(mask, box, 128).astype(kind), box, height, width)
        assert back.dtype == np.float32
        assert back.shape == mask.shape
        assert dice(back >= 0.5, mask > 0) > 0.97
        centre = [np.argwhere(m).mean(0) for m in (back >= 0.5, mask)]
        assert np.abs(centre[0] - centre[1]).max() < 0.5 * max(1.0, height / 128)


def test_outside_the_box_nothing_is_predicted() -> None:
    box = Box(10, 20, 30, 60)
    back = mask_from_frame(np.ones((16, 16), np.float32), box, 50, 80)
    assert back[box.window].min() == 1
    assert back.sum() == box.height * box.width
