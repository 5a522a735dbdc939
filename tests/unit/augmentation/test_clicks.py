import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, label

from parfocal.augmentation.clicks import MOVED, STRETCH, Click, encode, first, following, wrong
from parfocal.evaluation.metrics import dice

SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
MASKS = arrays(np.bool_, SHAPES)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape)))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def depth(region: np.ndarray) -> np.ndarray:
    return distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]


@given(MASKS)
@settings(max_examples=150, deadline=None)
def test_the_first_click_is_on_the_innermost_pixel_of_the_object(mask: np.ndarray) -> None:
    assume(mask.any())
    click = first(mask)
    assert click.object
    assert mask[click.row, click.column]
    assert depth(mask)[click.row, click.column] == pytest.approx(depth(mask).max())
    assert click == first(mask.astype(np.uint8) * 255, np.random.default_rng(1)), "an object is not left to chance"


@given(PAIRS)
@settings(max_examples=200, deadline=None)
def test_a_following_click_is_inside_the_largest_error_and_says_its_kind(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, found = pair
    click = following(true, found)
    if click is None:
        assert (true == found).all()
        return
    assert true[click.row, click.column] == click.object
    assert found[click.row, click.column] != click.object
    pieces, _ = label((true if click.object else ~true) & (found != true))
    clicked = pieces == pieces[click.row, click.column]
    largest = max(np.bincount(label(kind)[0].ravel())[1:].max(initial=0) for kind in (true & ~found, found & ~true))
    assert clicked.sum() == largest
    assert depth(clicked)[click.row, click.column] == pytest.approx(depth(clicked).max())


def test_a_missed_piece_gets_an_object_click_and_a_larger_excess_a_background_click() -> None:
    true = drawn("#######", "#######", "#######", ".......")
    found = drawn("###....", "###....", "###....", ".......")
    assert following(true, found) == Click(1, 4, object=True)  # of two equal ones the first
    assert following(found, true) == Click(1, 4, object=False)


def test_of_errors_of_one_size_the_missed_one_comes_first_and_then_the_first_from_the_top() -> None:
    assert following(drawn("...#"), drawn("#...")) == Click(0, 3, object=True)
    assert following(drawn(".", "#", ".", "#"), drawn(".", ".", ".", ".")) == Click(1, 0, object=True)


def test_a_bar_is_clicked_in_its_middle() -> None:
    assert first(drawn(".........", "#########", ".........")) == Click(1, 4, object=True)


def test_the_edge_of_the_picture_is_outside_of_an_object_cut_by_it() -> None:
    assert first(np.ones((5, 5), bool)) == Click(2, 2, object=True)


def test_without_an_object_there_is_a_background_click() -> None:
    nothing = np.zeros((5, 9), np.uint8)
    assert first(nothing) == Click(2, 4, object=False)
    drawn_by_chance = {first(nothing, np.random.default_rng(seed)) for seed in range(20)}
    assert len(drawn_by_chance) > 5
    assert not any(click.object for click in drawn_by_chance)
    assert following(nothing, np.ones((5, 9), bool)) == Click(2, 4, object=False)
    assert following(nothing, nothing) is None


def test_a_mask_is_made_wrong_in_size_and_place_and_by_no_more_than_is_said() -> None:
    truth = np.zeros((128, 128), np.uint8)
    cv2.circle(truth, (70, 60), 20, 1, -1)
    rng = np.random.default_rng(0)
    made = [wrong(truth, rng) for _ in range(300)]
    sizes = np.array([one.sum() / truth.sum() for one in made])
    centres = np.array([np.argwhere(one).mean(0) for one in made])
    assert made[0].dtype == np.bool_
    assert STRETCH**-2 < sizes.min() < 0.5
    assert 2 < sizes.max() < STRETCH**2
    moved = np.abs(centres - (60, 70))
    assert 0.3 * 20 < moved.max() < MOVED * 20 + 1
    assert np.median([dice(one, truth) for one in made]) == pytest.approx(0.72, abs=0.05), "about as B is for A's model"


def test_nothing_cannot_be_made_wrong() -> None:
    assert not wrong(np.zeros((8, 8), np.uint8), np.random.default_rng(0)).any()


CLICKS = st.lists(st.builds(Click, st.integers(0, 8), st.integers(0, 11), st.booleans()), max_size=5)


@given(CLICKS, st.floats(0.3, 5))
@settings(max_examples=100, deadline=None)
def test_maps_lie_in_zero_to_one_and_peak_at_one_on_every_click(clicks: list[Click], sigma: float) -> None:
    maps = encode(clicks, 9, 12, sigma)
    assert maps.shape == (2, 9, 12)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert all(maps[int(not click.object), click.row, click.column] == 1 for click in clicks)
    for channel, kind in enumerate((True, False)):
        assert (maps[channel] == 1).sum() == len({c for c in clicks if c.object is kind})
        assert maps[channel].any() == any(click.object is kind for click in clicks)


def test_a_click_falls_off_as_a_gaussian_by_hand() -> None:
    maps = encode([Click(0, 0), Click(0, 8)], 9, 9, sigma=2.0)
    assert maps[0, 0, 2] == pytest.approx(np.exp(-0.5))
    assert maps[0, 3, 4] == pytest.approx(np.exp(-25 / 8)), "equally far from both: the larger, not the sum"
    assert not maps[1].any()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="row 9"):
        encode([Click(9, 0)], 9, 9)
    with pytest.raises(ValueError, match="Gaussian"):
        encode([], 9, 9, sigma=0)
    with pytest.raises(ValueError, match="an answer of"):
        following(np.zeros((2, 2)), np.zeros((2, 3)))
