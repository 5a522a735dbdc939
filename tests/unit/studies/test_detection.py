"""What the study of detection computes from scores, and what its changes do to a picture."""

import numpy as np
import pytest

from parfocal.studies import changes, detection
from parfocal.studies import detection_tables as tables
from parfocal.studies.changes import ARMS, FRAMING, apply


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (60, 80, 3), dtype=np.uint8)


def square(height: int = 60, width: int = 80) -> dict[str, np.ndarray]:
    mask = np.zeros((height, width), bool)
    mask[25:35, 35:45] = True
    return {"disc": mask}


def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_in_order() -> None:
    usual, changed = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0])
    assert tables.auroc(usual, changed) == pytest.approx((1.5 + 3) / 6)
    assert tables.auroc(usual, usual) == 0.5


def test_a_delay_is_counted_in_cases() -> None:
    z = np.full((10, 1), 2.5)
    assert tables.delay(z, 8.0, 0.5) == 4
    assert tables.delay(np.hstack([z, np.zeros((10, 1))]), 8.0, 0.5) == 4, "any stream will do"
    assert tables.delay(np.zeros((10, 1)), 8.0, 0.5) is None
    assert tables.delay(z, np.inf, 0.5) is None


@pytest.mark.parametrize("name", ARMS)
def test_a_change_changes_the_picture_and_more_so_when_it_is_strong(name: str, picture: np.ndarray) -> None:
    before, masks = picture.copy(), square()
    off = []
    for strength in (0.5, 1.0):
        changed, truth = apply(name, picture, masks, strength, np.random.default_rng(0))
        assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
        assert truth["disc"].shape == masks["disc"].shape
        off.append(np.abs(changed.astype(float) - picture).mean())
    assert off[1] > off[0] > 1 or name == FRAMING
    assert np.array_equal(picture, before)


def test_only_framing_moves_the_truth(picture: np.ndarray) -> None:
    masks = square()
    for name in changes.CHANGES:
        assert apply(name, picture, masks, 1.0, np.random.default_rng(0))[1] is masks
    _, near = apply(FRAMING, picture, masks, 1.0, np.random.default_rng(0))
    assert near["disc"].mean() / masks["disc"].mean() == pytest.approx(1 / 0.55**2, rel=0.15)


def test_what_arrives_unchanged_comes_first_and_another_camera_last() -> None:
    titles = [title for title, *_ in detection._arms()]
    assert (titles[0], titles[-1], len(titles)) == (detection.AS_IS, detection.SWAP, 2 * len(ARMS) + 2)
