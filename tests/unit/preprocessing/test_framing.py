"""Frames with their masks and centres: what goes into a frame comes back to where it was."""

import numpy as np
from data_kit import circle, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.core.task import task
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.framing import centroid, frames_of
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.roi import Box, mask_from_frame, mask_to_frame, point_from_frame, point_to_frame
from parfocal.preprocessing.shards import UNKNOWN

FUNDUS, RNG = task("fundus"), np.random.default_rng(0)


def boxes(least: int = 24) -> st.SearchStrategy[tuple[int, int, Box]]:
    """Height and width of a picture and a box in it."""

    @st.composite
    def draw(get: st.DrawFn) -> tuple[int, int, Box]:
        height, width = get(st.integers(least, 300)), get(st.integers(least, 300))
        top, left = get(st.integers(0, height - least)), get(st.integers(0, width - least))
        bottom, right = get(st.integers(top + least, height)), get(st.integers(left + least, width))
        return height, width, Box(top, left, bottom, right)

    return draw()


@settings(deadline=None, max_examples=60)
@given(boxes(), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.1, 0.2), st.sampled_from([48, 64, 96, 128]))
def test_a_disc_comes_back_from_its_frame_and_its_centre_lies_where_the_mask_does(
    place: tuple[int, int, Box], x: float, y: float, radius: float, size: int
) -> None:
    height, width, box = place
    rows, columns = np.mgrid[:height, :width]
    a, b = max(radius * box.height, 4), max(radius * box.width, 4)
    at = (box.left + x * box.width, box.top + y * box.height)
    mask = (((rows - at[1]) / a) ** 2 + ((columns - at[0]) / b) ** 2 <= 1).astype(np.uint8)
    mask[: box.top], mask[box.bottom :], mask[:, : box.left], mask[:, box.right :] = 0, 0, 0, 0
    frame = mask_to_frame(mask, box, size)
    back = mask_from_frame(frame, box, height, width) >= 0.5
    assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 0.85
    seen = np.array([coordinate + 0.5 for coordinate in centroid(frame)]) / size
    told = np.array(point_to_frame(centroid(mask), box))
    assert np.abs(seen - told).max() < 1.0 / min(size, box.height, box.width)


@given(boxes(), st.floats(0, 1), st.floats(0, 1))
def test_points_go_into_a_box_and_back(place: tuple[int, int, Box], x: float, y: float) -> None:
    point = point_from_frame((x, y), place[2])
    back = point_to_frame(point, place[2])
    inside = all(1e-6 < part < 1 - 1e-6 for part in (x, y))
    assert not inside or np.allclose(back, (x, y), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(boxes(32), st.integers(16, 32))
def test_tiles_laid_back_are_the_picture(place: tuple[int, int, Box], size: int) -> None:
    height, width, box = place
    image = np.random.default_rng(0).integers(0, 4000, (height, width)).astype(np.uint16)
    recipe = CtRecipe(size=size, tiles_a_slice=1)
    whole = CtRecipe(size=16, tiles_a_slice=1).frame(image, box)
    laid = np.zeros((height, width, 3), np.uint8)
    for tile in recipe.tiles(box):
        laid[tile.window] = recipe.frame(image, tile)
    assert np.array_equal(laid[box.window], whole)


def test_the_centre_is_the_given_point_or_else_the_masks_centroid() -> None:
    recipe, masks = FundusRecipe(size=64, border=0), {"disc": circle(12) // 255}
    drawn, _ = frames_of(picture(1), masks, {}, FUNDUS, recipe, RNG)
    assert np.allclose(drawn["disc"][0].point, (40.5 / 80, 30.5 / 60))
    told, _ = frames_of(picture(1), masks, {"disc": (19.5, 14.5)}, FUNDUS, recipe, RNG)
    assert told["disc"][0].point == (0.25, 0.25)


def test_a_point_alone_gives_the_outermost_structure_a_frame_with_an_unknown_mask() -> None:
    found, remarks = frames_of(picture(1), {}, {"disc": (40, 30), "cup": (40, 30)}, FUNDUS, FundusRecipe(size=64), RNG)
    assert list(found) == ["disc"]
    assert (found["disc"][0].mask == UNKNOWN).all()
    assert not remarks


def test_a_point_outside_the_frame_is_unknown_and_remarked() -> None:
    found, remarks = frames_of(picture(1), {}, {"disc": (2, 2)}, FUNDUS, FundusRecipe(size=64), RNG)
    assert np.isnan(found["disc"][0].point).all()
    assert remarks == ["the point of the disc outside the frame the recipe keeps"]


def test_every_tile_has_its_own_part_of_the_mask() -> None:
    image = np.full((60, 80), 1500, np.uint16)
    recipe = CtRecipe(size=16, tiles_a_slice=6)
    mask = circle(8) // 255
    found, _ = frames_of(image, {"bone": mask}, {}, task("bone"), recipe, np.random.default_rng(3))
    tiles = recipe.samples(Box(0, 0, 60, 80), mask, np.random.default_rng(3))
    assert [np.array_equal(f.mask, mask[t.window]) for f, t in zip(found["bone"], tiles, strict=True)] == [True] * 6
    assert any(frame.mask.any() for frame in found["bone"])
