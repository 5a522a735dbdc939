from dataclasses import replace

import numpy as np
import pytest

from parfocal.augmentation.geometric import AugmentConfig, Change, apply, draw, move

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
MASK = (RNG.random((32, 32)) > 0.5).astype(np.uint8)


def test_no_change_gives_the_same_picture() -> None:
    image, mask = apply(IMAGE, MASK, Change())
    assert np.array_equal(image, IMAGE)
    assert np.array_equal(mask, MASK)


def test_flips_mirror_picture_and_mask_together() -> None:
    image, mask = apply(IMAGE, MASK, Change(mirror=True))
    assert np.array_equal(image, IMAGE[:, ::-1])
    assert np.array_equal(mask, MASK[:, ::-1])
    image, mask = apply(IMAGE, MASK, Change(upend=True))
    assert np.array_equal(image, IMAGE[::-1])
    assert np.array_equal(mask, MASK[::-1])


def test_a_quarter_turn_is_counter_clockwise() -> None:
    image, mask = apply(IMAGE, MASK, Change(rotation=90.0))
    assert np.array_equal(image, np.rot90(IMAGE))
    assert np.array_equal(mask, np.rot90(MASK))


def test_a_shift_is_to_the_right_and_down_and_fills_with_nothing() -> None:
    image, mask = apply(IMAGE, MASK, Change(shift=(0.25, 0.5)))
    assert np.array_equal(image[16:, 8:], IMAGE[:16, :24])
    assert np.array_equal(mask[16:, 8:], MASK[:16, :24])
    assert not image[:16].any()
    assert not mask[:, :8].any()


def test_zoom_above_one_enlarges_by_its_square() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[24:40, 24:40] = 1
    _, larger = apply(np.zeros((64, 64, 3), np.uint8), mask, Change(zoom=1.5))
    assert larger.sum() == pytest.approx(1.5**2 * mask.sum(), rel=0.1)


def test_brightness_and_contrast_touch_the_picture_alone_and_saturate() -> None:
    image, mask = apply(IMAGE, MASK, Change(brightness=20.0, contrast=1.5))
    expected = np.clip(np.rint((IMAGE.astype(float) - 128) * 1.5 + 128 + 20), 0, 255)
    assert np.array_equal(image, expected)
    assert np.array_equal(mask, MASK)


def test_what_comes_from_outside_is_black_also_in_a_brightened_picture() -> None:
    image, _ = apply(IMAGE, MASK, Change(shift=(0.5, 0.0), brightness=50.0))
    assert not image[:, :16].any()


def test_masks_stay_masks_and_the_arguments_are_not_touched() -> None:
    image, mask = IMAGE.copy(), MASK.copy()
    for change in draw(AugmentConfig(), np.random.default_rng(1), 20):
        moved, cut = apply(image, mask, change)
        assert moved.dtype == cut.dtype == np.uint8
        assert moved.shape == image.shape
        assert set(np.unique(cut)) <= {0, 1}
    assert np.array_equal(image, IMAGE)
    assert np.array_equal(mask, MASK)


def test_the_same_generator_draws_the_same_changes_within_their_ranges() -> None:
    config = AugmentConfig()
    changes = draw(config, np.random.default_rng(3), 500)
    assert changes == draw(config, np.random.default_rng(3), 500)
    assert all(abs(c.rotation) <= 50 and max(map(abs, c.shift)) <= 0.15 and 0.7 <= c.zoom <= 1.3 for c in changes)
    assert all(abs(c.brightness) <= 10 and abs(c.contrast - 1) <= 0.1 for c in changes)
    assert max(c.rotation for c in changes) > 45
    assert 0.4 < np.mean([c.mirror for c in changes]) < 0.6


def test_switching_one_change_off_leaves_the_others_as_they_were() -> None:
    full = draw(AugmentConfig(), np.random.default_rng(3), 5)
    still = draw(AugmentConfig(rotation=0.0, flip_vertical=False), np.random.default_rng(3), 5)
    assert still == tuple(replace(change, rotation=0.0, upend=False) for change in full)


def test_classes_take_the_nearest_and_a_mask_that_nobody_drew_stays_unknown() -> None:
    classes = np.zeros((32, 32), np.uint8)
    classes[8:24, 8:24] = 2
    _, turned = apply(IMAGE, classes, Change(rotation=30.0))
    assert set(np.unique(turned)) == {0, 2}
    _, unknown = apply(IMAGE, np.full((32, 32), 255, np.uint8), Change(shift=(0.5, 0.5), zoom=0.7))
    assert (unknown == 255).all()


@pytest.mark.parametrize(
    "change",
    [
        Change(rotation=90.0),
        Change(shift=(0.25, -0.125)),
        Change(mirror=True),
        Change(rotation=33.0, zoom=1.2, upend=True),
    ],
)
def test_a_point_moves_with_the_picture(change: Change) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[28:31, 37:40] = 255
    moved, _ = apply(image, np.zeros((64, 64), np.uint8), change)
    rows, columns = np.nonzero(moved[..., 0] > 100)
    expected = ((columns.mean() + 0.5) / 64, (rows.mean() + 0.5) / 64)
    point = move(np.array([38.5 / 64, 29.5 / 64], np.float32), change, 64, 64)
    assert point == pytest.approx(expected, abs=0.01)


def test_a_point_that_nobody_knows_stays_unknown() -> None:
    assert np.isnan(move(np.full(2, np.nan, np.float32), Change(rotation=10.0), 64, 64)).all()
