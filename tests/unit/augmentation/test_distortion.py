from dataclasses import replace

import numpy as np
import pytest

from parfocal.augmentation.distortion import (
    Curve,
    Distortion,
    DistortionConfig,
    apply,
    draw,
    flipped,
    shuffled_places,
    table,
)

SIZE = 64
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
MANY = draw(DistortionConfig(), np.random.default_rng(1), 4000, SIZE)


def test_nothing_drawn_gives_the_same_picture_as_a_new_array() -> None:
    same = apply(IMAGE, Distortion())
    assert np.array_equal(same, IMAGE)
    assert not np.shares_memory(same, IMAGE)


def test_the_published_rates() -> None:
    painted = [d for d in MANY if d.blocks]
    assert np.mean([d.curve is not None for d in MANY]) == pytest.approx(0.9, abs=0.02)
    assert np.mean([d.shuffle is not None for d in MANY]) == pytest.approx(0.5, abs=0.03)
    # An in-painting may have no block: 5 % of 20 % of 90 %.
    assert len(painted) / len(MANY) == pytest.approx(0.9 * (0.8 + 0.2 * 0.95), abs=0.02)
    assert np.mean([d.outside for d in MANY]) == pytest.approx(0.9 * 0.8, abs=0.02)
    assert np.mean([d.curve.falling for d in MANY if d.curve]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([len(d.blocks) for d in MANY if d.outside]) == pytest.approx(
        sum(0.95**k for k in range(5)), abs=0.05
    )
    assert {len(d.blocks) for d in MANY} == {0, 1, 2, 3, 4, 5}


def test_a_flip_comes_four_times_in_ten_and_twice_along_an_axis_is_none() -> None:
    # One flip has probability .4 * .6, two .4^2 * .6, three .4^3; of two, half fall on one axis and cancel.
    unflipped = 0.6 + 0.4**2 * 0.6 / 2
    assert np.mean([not (d.mirror or d.upend) for d in MANY]) == pytest.approx(unflipped, abs=0.025)
    assert np.mean([d.mirror for d in MANY]) == pytest.approx(np.mean([d.upend for d in MANY]), abs=0.03)


def test_rates_of_nothing_and_of_everything() -> None:
    off = DistortionConfig(non_linear=0, paint=0, shuffle=0, flip=0)
    assert all(replace(d, noise=0) == Distortion() for d in draw(off, np.random.default_rng(0), 50, SIZE))
    on = DistortionConfig(non_linear=1, paint=1, outpaint=1, shuffle=1)
    assert all(d.curve and d.shuffle and d.outside and d.blocks for d in draw(on, np.random.default_rng(0), 50, SIZE))


def test_switching_one_off_leaves_the_others_as_they_were() -> None:
    config = DistortionConfig(shuffle=0)
    assert draw(config, np.random.default_rng(1), 4000, SIZE) == tuple(replace(d, shuffle=None) for d in MANY)


def test_a_flip_is_done_to_what_is_restored_too() -> None:
    for mirror, upend in ((True, False), (False, True), (True, True)):
        turned = Distortion(mirror=mirror, upend=upend)
        expected = IMAGE[:: -1 if upend else 1, :: -1 if mirror else 1]
        assert np.array_equal(flipped(IMAGE, turned), expected)
        assert np.array_equal(apply(IMAGE, turned), expected)


def de_casteljau(points: np.ndarray, t: float) -> tuple[float, float]:
    """A point of the curve, found in another way than by polynomials."""
    while len(points) > 1:
        points = (1 - t) * points[:-1] + t * points[1:]
    return float(points[0, 0]), float(points[0, 1])


@pytest.mark.parametrize("falling", [False, True])
def test_the_table_is_the_bezier_curve(falling: bool) -> None:
    inner = ((0.15, 0.8), (0.9, 0.3))
    levels = table(Curve(*inner, falling)).astype(float) / 255
    points = np.array([[0.0, 0.0], [inner[0][0], inner[1][0]], [inner[0][1], inner[1][1]], [1.0, 1.0]])
    for t in np.linspace(0, 1, 41):
        x, y = de_casteljau(points, t)
        if falling:  # dark becomes bright: the heights are run through from the other end
            y = de_casteljau(points, 1 - t)[1]
        assert np.interp(x, np.arange(256) / 255, levels) == pytest.approx(y, abs=0.003)
    assert (levels[0], levels[-1]) == ((1, 0) if falling else (0, 1))


def test_straight_control_points_change_nothing_and_mirrored_ones_invert() -> None:
    straight = (1 / 3, 2 / 3)
    assert np.array_equal(table(Curve(straight, straight)), np.arange(256))
    assert np.array_equal(table(Curve(straight, straight, True)), 255 - np.arange(256))


def test_intensity_is_changed_by_the_table_in_every_channel() -> None:
    curve = Curve((0.1, 0.4), (0.7, 0.9))
    assert np.array_equal(apply(IMAGE, Distortion(curve=curve)), table(curve)[IMAGE])


def test_a_shuffle_moves_pixels_within_windows_and_takes_them_whole() -> None:
    row, column = np.mgrid[:SIZE, :SIZE].astype(np.uint8)
    where = np.stack([row, column, row ^ column], 2)
    moved = apply(where, Distortion(shuffle=(3, 750))).astype(int)
    assert np.array_equal(moved[..., 2], moved[..., 0] ^ moved[..., 1])
    far = np.abs(moved[..., :2] - where[..., :2]).max(2)
    assert far.max() == SIZE // 10 - 1
    assert 0.5 < (far > 0).mean() < 0.9


def test_one_window_is_a_permutation_of_its_pixels_and_the_rest_stays() -> None:
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), 2)
    for number in range(20):
        places = shuffled_places(SIZE, number, 1)
        assert np.array_equal(np.unique(places.reshape(-1, 2), axis=0), np.unique(grid.reshape(-1, 2), axis=0))
        moved = np.argwhere((places != grid).any(2))
        assert len(moved) <= (SIZE // 10) ** 2
        if len(moved):
            assert (np.ptp(moved, axis=0) < SIZE // 10).all()


def test_in_painting_leaves_the_rest_and_out_painting_leaves_the_inside() -> None:
    blocks = ((5, 10, 20, 12), (30, 3, 11, 15))
    inside = np.zeros((SIZE, SIZE), bool)
    for top, left, height, width in blocks:
        inside[top : top + height, left : left + width] = True
    painted = apply(IMAGE, Distortion(blocks=blocks, noise=7))
    assert np.array_equal(painted[~inside], IMAGE[~inside])
    left_alone = apply(IMAGE, Distortion(blocks=blocks, outside=True, noise=7))
    assert np.array_equal(left_alone[inside], IMAGE[inside])
    noise = np.where(inside[..., None], painted, left_alone)
    assert (noise == IMAGE).mean() < 0.01
    assert noise.mean() == pytest.approx(127.5, abs=3)
    assert noise.std() == pytest.approx(73.9, abs=2)
    other = apply(IMAGE, Distortion(blocks=blocks, noise=8))
    assert not np.array_equal(other[inside], painted[inside])


def test_blocks_have_the_published_sizes_and_stay_away_from_the_edge() -> None:
    for outside, least, most in ((False, SIZE // 6, SIZE // 3), (True, SIZE - 4 * SIZE // 7, SIZE - 3 * SIZE // 7)):
        blocks = np.array([block for d in MANY if d.outside == outside for block in d.blocks])
        corners, sides = blocks[:, :2], blocks[:, 2:]
        assert (sides.min(), sides.max()) == (least, most)
        assert (corners.min(), (corners + sides).max()) == (3, SIZE - 3)


def test_the_same_seed_gives_the_same_picture_and_the_argument_is_left_alone() -> None:
    image = IMAGE.copy()
    drawn = draw(DistortionConfig(), np.random.default_rng(4), 20, SIZE)
    assert drawn == draw(DistortionConfig(), np.random.default_rng(4), 20, SIZE)
    once = [apply(image, distortion) for distortion in drawn]
    shuffled_places.cache_clear()
    assert all(np.array_equal(apply(image, d), one) for d, one in zip(drawn, once, strict=True))
    assert np.array_equal(image, IMAGE)


def test_a_picture_too_small_is_refused_and_the_smallest_works() -> None:
    with pytest.raises(ValueError, match="13 pixels"):
        draw(DistortionConfig(), np.random.default_rng(0), 1, 13)
    for distortion in draw(DistortionConfig(), np.random.default_rng(0), 50, 14):
        assert apply(IMAGE[:14, :14], distortion).shape == (14, 14, 3)
