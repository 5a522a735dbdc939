"""The recipe: the right part of the photograph, at the right size, with its contrast evened out."""

import numpy as np
import pytest
from data_kit import circle, picture

from parfocal.core.errors import UsageError
from parfocal.core.task import Structure
from parfocal.preprocessing.fundus import FundusRecipe, frame_box, to_frame
from parfocal.preprocessing.roi import Box, trim_box


def test_the_disc_is_looked_for_in_the_trimmed_photograph_and_the_cup_in_the_discs_box() -> None:
    recipe = FundusRecipe()
    assert frame_box(Structure("disc"), 60, 80, recipe) == Box(6, 8, 54, 72)
    assert frame_box(Structure("cup", "disc"), 60, 80, recipe, circle(10) > 0) == Box(18, 28, 43, 53)


def test_without_the_outer_structure_there_is_nowhere_to_look() -> None:
    cup = Structure("cup", "disc")
    assert frame_box(cup, 60, 80, FundusRecipe()) is None
    assert frame_box(cup, 60, 80, FundusRecipe(), np.zeros((60, 80), bool)) is None


@pytest.mark.parametrize(("height", "width"), [(600, 800), (60, 80), (60, 800), (3, 5)])
def test_frames_have_the_recipes_size_whatever_the_photograph_had(height: int, width: int) -> None:
    frame = to_frame(picture(1, height, width), trim_box(height, width, 0.1), FundusRecipe(size=64))
    assert frame.shape == (64, 64, 3)
    assert frame.dtype == np.uint8


def test_equal_photographs_give_equal_frames_and_the_photograph_is_left_alone() -> None:
    image = picture(1)
    before = image.copy()
    frames = [to_frame(image, trim_box(60, 80, 0.1), FundusRecipe()) for _ in range(2)]
    assert np.array_equal(*frames)
    assert np.array_equal(image, before)


def test_equalising_takes_back_most_of_what_a_cameras_gain_did_to_a_channel() -> None:
    image = np.clip(picture(1, 200, 200).astype(int) + np.arange(200)[None, :, None] // 4, 0, 255).astype(np.uint8)
    tinted = (image * np.array([1.0, 1.0, 0.5])).astype(np.uint8)
    whole = Box(0, 0, 200, 200)

    def spread(recipe: FundusRecipe) -> float:
        return float(to_frame(tinted, whole, recipe)[..., 2].std() / to_frame(image, whole, recipe)[..., 2].std())

    assert spread(FundusRecipe(clahe_clip=0)) < 0.55
    assert spread(FundusRecipe(clahe_clip=4)) > 0.65


def test_a_recipe_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="border"):
        FundusRecipe.parse({"border": 0.5})
