import numpy as np
import pytest

from parfocal.evaluation.constant import ConstantMask, skill
from parfocal.evaluation.metrics import dice


def discs(n: int, seed: int, size: int = 32, shift: float = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres = size / 2 + rng.normal(0, shift, (n, 2))
    return np.stack([(np.hypot(rows - r, columns - c) < 7) for r, c in centres]).astype(np.uint8)


def test_of_equal_masks_it_is_that_mask() -> None:
    masks = np.repeat(discs(1, 0), 5, axis=0)
    found = ConstantMask.fit(masks)
    np.testing.assert_array_equal(found.mask, masks[0])
    assert found.dice == 1


def test_the_cut_is_worked_out_by_hand() -> None:
    # Votes by pixel: 3, 2, 1. Kept with 3: Dice 1, 2/3, 1/2; with 2 or more: 2/3, 1, 4/5; all: 1/2, 4/5, 1.
    masks = np.array([[[1, 0, 0]], [[1, 1, 0]], [[1, 1, 1]]], np.uint8)
    found = ConstantMask.fit(masks)
    assert found.dice == pytest.approx((2 / 3 + 1 + 4 / 5) / 3)
    assert found.threshold == pytest.approx(2 / 3)
    assert found.mask.tolist() == [[1, 1, 0]]


def test_no_other_cut_of_the_mean_scores_better_on_the_training_masks() -> None:
    masks = discs(23, 1)
    found, mean = ConstantMask.fit(masks), masks.mean(0)
    for cut in np.linspace(0.01, 1, 200):
        assert np.mean([dice(mean >= cut, mask > 0) for mask in masks]) <= found.dice + 1e-12
    assert np.mean([dice(found.mask > 0, mask > 0) for mask in masks]) == pytest.approx(found.dice)


def test_it_is_strong_where_the_structure_sits_still_and_weak_where_it_wanders() -> None:
    assert ConstantMask.fit(discs(40, 2, shift=0.5)).dice > 0.9
    assert ConstantMask.fit(discs(40, 2, shift=8)).dice < 0.6


def test_empty_masks_count_as_found_when_nothing_is_given() -> None:
    assert ConstantMask.fit(np.zeros((3, 4, 4), np.uint8)).dice == 1


def test_no_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="no masks"):
        ConstantMask.fit(np.zeros((0, 4, 4), np.uint8))


def test_skill_is_what_is_added() -> None:
    assert skill(0.9, 0.8) == pytest.approx(0.5)
    assert skill(0.8, 0.8) == 0
    assert skill(0.7, 0.8) == pytest.approx(-0.5)
    assert skill(1, 0.3) == 1
    assert skill(1, 1) is None
