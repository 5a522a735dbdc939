"""The recipe: the right part of the photograph, at the right size, with its contrast evened out."""

import cv2
import numpy as np
import pytest
from data_kit import circle, picture

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import Structure
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.roi import Box, trim_box


def test_the_disc_is_looked_for_in_the_trimmed_photograph_and_the_cup_in_the_discs_box() -> None:
    recipe = FundusRecipe()
    assert recipe.box(Structure("disc"), 60, 80) == Box(6, 8, 54, 72)
    assert recipe.box(Structure("cup", "disc"), 60, 80, circle(10) > 0) == Box(18, 28, 43, 53)


def test_without_the_outer_structure_there_is_nowhere_to_look() -> None:
    cup = Structure("cup", "disc")
    assert FundusRecipe().box(cup, 60, 80) is None
    assert FundusRecipe().box(cup, 60, 80, np.zeros((60, 80), bool)) is None


@pytest.mark.parametrize(("height", "width"), [(600, 800), (60, 80), (60, 800), (3, 5)])
def test_frames_have_the_recipes_size_whatever_the_photograph_had(height: int, width: int) -> None:
    frame = FundusRecipe(size=64).frame(picture(1, height, width), trim_box(height, width, 0.1))
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8


def test_equal_photographs_give_equal_frames_and_the_photograph_is_left_alone() -> None:
    image = picture(1)
    before = image.copy()
    frames = [FundusRecipe().frame(image, trim_box(60, 80, 0.1)) for _ in range(2)]
    assert np.array_equal(*frames)
    assert np.array_equal(image, before)


def test_equalising_takes_back_most_of_what_a_cameras_gain_did_to_a_channel() -> None:
    image = np.clip(picture(1, 200, 200).astype(int) + np.arange(200)[None, :, None] // 4, 0, 255).astype(np.uint8)
    tinted = (image * np.array([1.0, 1.0, 0.5])).astype(np.uint8)
    whole = Box(0, 0, 200, 200)

    def spread(recipe: FundusRecipe) -> float:
        return float(recipe.frame(tinted, whole)[..., 2].std() / recipe.frame(image, whole)[..., 2].std())

    assert spread(FundusRecipe(clahe_clip=0)) < 0.55
    assert spread(FundusRecipe(clahe_clip=4)) > 0.65


def test_a_recipe_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="border"):
        FundusRecipe.parse({"border": 0.5})


def test_a_frame_is_the_crop_shrunk_by_area_and_each_channel_equalised() -> None:
    image, box = picture(3, 300, 400), Box(30, 40, 270, 360)
    small = cv2.resize(image[30:270, 40:360], (128, 128), interpolation=cv2.INTER_AREA)
    expected = np.stack([cv2.createCLAHE(2.0, (8, 8)).apply(np.ascontiguousarray(c)) for c in cv2.split(small)], -1)
    assert np.array_equal(FundusRecipe().frame(image, box), expected)


def test_sixteen_bit_photographs_are_refused_because_cameras_of_twelve_bits_would_come_out_black() -> None:
    with pytest.raises(DataContractError, match="uint16"):
        FundusRecipe().frame(np.full((60, 80), 4000, np.uint16), Box(0, 0, 60, 80))
