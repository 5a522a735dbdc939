"""Static copies: drawn from a seeded generator, brightness and contrast in turn, shape and mask untouched."""

import numpy as np
from data_kit import picture

from parfocal.preprocessing.static_augmentation import Change, StaticAugmentationConfig, apply, draw, generator


def test_brightness_and_contrast_take_turns() -> None:
    changes = draw(StaticAugmentationConfig(copies=6), np.random.default_rng(3))
    kinds = ["contrast" if change.clip else "brightness" for change in changes]
    assert kinds in (["brightness", "contrast"] * 3, ["contrast", "brightness"] * 3)
    assert all(0.7 <= change.gain <= 1.3 for change in changes)
    assert all(change.clip == 0 or 1 <= change.clip <= 4 for change in changes)


def test_over_many_cases_one_copy_is_as_often_of_either_kind() -> None:
    config = StaticAugmentationConfig(copies=1)
    contrast = sum(draw(config, generator(0, f"case-{i}"))[0].clip > 0 for i in range(400))
    assert 160 < contrast < 240


def test_a_cases_copies_depend_on_the_seed_and_the_case_alone() -> None:
    config = StaticAugmentationConfig(copies=3)
    assert draw(config, generator(1, "A-x")) == draw(config, generator(1, "A-x"))
    assert draw(config, generator(1, "A-x")) != draw(config, generator(2, "A-x"))
    assert draw(config, generator(1, "A-x")) != draw(config, generator(1, "A-y"))


def test_applying_a_change_twice_gives_the_same_frame_of_the_same_shape() -> None:
    frame = picture(1, 32, 32)
    for change in (Change(gain=1.3), Change(gain=0.7), Change(clip=3.0)):
        changed = apply(frame, change, tiles=4)
        assert changed.shape == frame.shape
        assert changed.dtype == np.uint8
        assert np.array_equal(changed, apply(frame, change, tiles=4))
        assert not np.array_equal(changed, frame)


def test_brightness_saturates_instead_of_wrapping_round() -> None:
    assert apply(np.full((4, 4, 3), 250, np.uint8), Change(gain=1.3), tiles=4).min() == 255
