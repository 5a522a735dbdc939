"""CT, MR, chest and RetCam: known numbers in, known grey levels out."""

import cv2
import numpy as np
import pytest
from data_kit import picture

from parfocal.core.errors import DataContractError, UsageError
from parfocal.preprocessing.chest import ChestRecipe
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.mr import MrRecipe, without_bias
from parfocal.preprocessing.retcam import RetcamRecipe
from parfocal.preprocessing.roi import Box

WHOLE = Box(0, 0, 64, 64)


def stripes(*units: int) -> np.ndarray:
    """A slice of vertical stripes of these Hounsfield units, stored + 1024."""
    return np.tile(np.repeat(np.array(units) + 1024, 64 // len(units)), (64, 1)).astype(np.uint16)


# ---- CT --------------------------------------------------------------------------------------------------------------


def test_the_papers_window_maps_minus_1024_to_0_and_3000_to_255_in_all_channels() -> None:
    frame = CtRecipe(size=64).frame(stripes(-1024, 0, 988, 3500), WHOLE)
    assert frame[0, ::16].tolist() == [[0] * 3, [65] * 3, [128] * 3, [255] * 3]  # 1024 / 4024 * 255 = 64.9


def test_three_windows_fill_the_channels_and_of_two_the_last_one_fills_the_third() -> None:
    image = stripes(-1000, 0, 400, 1000)
    three = CtRecipe(size=64, windows=((-1000, 0), (0, 400), (0, 1000))).frame(image, WHOLE)
    assert three[0, ::16].tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 102], [255, 255, 255]]
    two = CtRecipe(size=64, windows=((-1000, 0), (0, 400))).frame(image, WHOLE)
    assert np.array_equal(two[..., 1], two[..., 2])


def test_pictures_without_hounsfield_units_and_windows_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(DataContractError, match="no Hounsfield units"):
        CtRecipe().frame(picture(1), Box(0, 0, 60, 80))
    with pytest.raises(UsageError, match="wrong way round"):
        CtRecipe.parse({"windows": [[100, -100]]})


def test_tiles_are_the_slices_own_pixels_and_cover_all_of_it() -> None:
    recipe = CtRecipe(size=16, tiles_a_slice=5)
    image = (1024 + np.arange(40 * 70).reshape(40, 70) % 900).astype(np.uint16)
    box = Box(0, 0, 40, 70)
    covered = np.zeros((40, 70), int)
    for tile in recipe.tiles(box):
        assert (tile.height, tile.width) == (16, 16)
        covered[tile.window] += 1
    assert covered.min() == 1
    tile = recipe.tiles(box)[1]
    expected = np.clip((image[tile.window].astype(int)) * 255 / 4024, 0, 255).round()
    assert np.abs(recipe.frame(image, tile)[..., 0] - expected).max() == 0


def test_half_of_the_drawn_tiles_show_the_structure_and_the_draw_is_the_generators() -> None:
    recipe, mask = CtRecipe(size=16, tiles_a_slice=10), np.zeros((200, 200), np.uint8)
    mask[150:153, 20:23] = 1
    drawn = recipe.samples(Box(0, 0, 200, 200), mask, np.random.default_rng(0))
    assert len(drawn) == 10
    assert sum(mask[tile.window].any() for tile in drawn) >= 5
    assert all(t.top >= 0 and t.bottom <= 200 and t.left >= 0 and t.right <= 200 for t in drawn)
    assert drawn == recipe.samples(Box(0, 0, 200, 200), mask, np.random.default_rng(0))
    assert drawn != recipe.samples(Box(0, 0, 200, 200), mask, np.random.default_rng(1))


def test_a_slice_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(DataContractError, match="smaller than a tile of 128"):
        CtRecipe(tiles_a_slice=2).tiles(WHOLE)


# ---- MR --------------------------------------------------------------------------------------------------------------


def body(shading: float) -> tuple[np.ndarray, np.ndarray]:
    """An MR slice of one tissue with brighter parts under a coil's shading, and where the one tissue is."""
    rows, columns = np.mgrid[:96, :96] / 96
    inside = (rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.15
    bright = (rows - 0.4) ** 2 + (columns - 0.6) ** 2 < 0.02
    tissue = np.where(inside, 400.0, 20.0) + 300 * bright + np.random.default_rng(0).normal(0, 8, rows.shape)
    return np.maximum(tissue, 0) * np.exp(shading * (rows + columns / 2 - 0.75)), inside & ~bright


def variation(levels: np.ndarray, where: np.ndarray) -> float:
    return float(levels[where].std() / levels[where].mean())


def test_the_coils_shading_is_taken_out() -> None:
    pytest.importorskip("SimpleITK")
    levels, tissue = body(0.6)
    assert variation(levels, tissue) > 0.13
    assert variation(without_bias(levels.astype(np.float32), 4, 30), tissue) < 0.03


def test_without_correction_the_percentiles_alone_count_and_simpleitk_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    ramp = np.tile(np.arange(64) * 100, (64, 1)).astype(np.uint16)
    frame = MrRecipe(size=64, bias_correction=False, percentiles=(25, 75)).frame(ramp, WHOLE)
    assert (frame[:, :16] == 0).all()
    assert (frame[:, 48:] == 255).all()
    assert abs(int(frame[0, 32, 0]) - 128) < 6
    with pytest.raises(UsageError, match=r"(?s)SimpleITK.*parfocal\[volume\]"):
        MrRecipe(size=64).frame(ramp, WHOLE)


def test_an_empty_slice_is_an_empty_frame() -> None:
    pytest.importorskip("SimpleITK")
    assert (MrRecipe(size=32).frame(np.zeros((64, 64), np.uint16), WHOLE) == 0).all()


def test_mr_and_chest_refuse_colour() -> None:
    for recipe in (MrRecipe(), ChestRecipe()):
        with pytest.raises(DataContractError, match="colour"):
            recipe.frame(picture(1), Box(0, 0, 60, 80))


# ---- chest -----------------------------------------------------------------------------------------------------------


def test_radiographs_of_8_and_of_16_bits_give_the_same_frame_and_a_window_asks_for_units() -> None:
    levels = cv2.GaussianBlur(picture(1)[..., 0], (9, 9), 0)
    box = Box(0, 0, 60, 80)
    small = ChestRecipe(size=32).frame(cv2.merge([levels] * 3), box)
    large = ChestRecipe(size=32).frame(levels.astype(np.uint16) * 256, box)
    assert np.abs(small.astype(int) - large).max() <= 6  # area means are rounded to 8 bits in the first
    windowed = ChestRecipe(size=64, window=(-1000, 0)).frame(stripes(-1000, -500, 0, 500), WHOLE)
    assert windowed[0, ::16, 0].tolist() == [0, 128, 255, 255]
    with pytest.raises(DataContractError, match="no Hounsfield units"):
        ChestRecipe(window=(-1000, 0)).frame(cv2.merge([levels] * 3), box)


# ---- RetCam ----------------------------------------------------------------------------------------------------------


def test_retcam_frames_are_grey_full_range_and_brightened_in_the_middle() -> None:
    image = (picture(1, 64, 64) // 4 + 40).astype(np.uint8)
    plain = RetcamRecipe(size=64, clahe_clip=0, gamma=1).frame(image, WHOLE)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
    expected = np.rint((grey - grey.min()) * 255 / (grey.max() - grey.min()))
    assert np.abs(plain[..., 0] - expected).max() <= 1
    assert (plain == plain[..., :1]).all()
    bright = RetcamRecipe(size=64, clahe_clip=0, gamma=2).frame(image, WHOLE)
    assert np.array_equal(bright[..., 0], np.rint(255 * np.sqrt(plain[..., 0] / 255)))
    assert RetcamRecipe(size=64).frame(image, WHOLE).std() > plain.std() * 0.8
