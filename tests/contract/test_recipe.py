"""Every recipe: the same picture gives the same frame, and a bundle's word is enough to make it again."""

import numpy as np
import pytest
from data_kit import picture
from pydantic import ValidationError

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import Structure
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.recipes import FAMILY, AnyRecipe, Recipe, stored
from parfocal.preprocessing.roi import Box
from parfocal.preprocessing.shards import Dataset
from parfocal.steps.config import RunConfig


def slice_of(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """16-bit grey in the range of CT + 1024."""
    rng = np.random.default_rng(seed)
    return (1024 + 40 + rng.normal(0, 60, (height, width)) + 800 * (picture(seed, height, width)[..., 2] > 200)).astype(
        np.uint16
    )


KINDS = {"fundus": picture, "retcam": picture, "ct": slice_of, "mr": slice_of, "chest": slice_of}


def some(name: str) -> Recipe:
    return Recipe.parse({"name": name, "size": 32})


@pytest.mark.parametrize("name", list(FAMILY))
@pytest.mark.parametrize(("height", "width"), [(200, 300), (60, 80), (20, 90)])
def test_frames_are_bgr_of_the_recipes_size_and_depend_on_the_picture_alone(name: str, height: int, width: int) -> None:
    image, recipe = KINDS[name](1, height, width), some(name)
    before, box = image.copy(), recipe.box(Structure("a"), height, width)
    assert box is not None
    assert 0 <= box.top < box.bottom <= height
    assert 0 <= box.left < box.right <= width
    frame = recipe.frame(image, box)
    assert (frame.shape, frame.dtype) == ((32, 32, 3), np.uint8)
    assert frame.flags.c_contiguous
    assert frame.std() > 0
    assert np.array_equal(frame, recipe.frame(image, box))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", list(FAMILY))
def test_an_inner_structure_is_looked_for_round_its_outer_one_or_nowhere(name: str) -> None:
    outer = np.zeros((60, 80), np.uint8)
    assert some(name).box(Structure("b", "a"), 60, 80, outer) is None
    outer[20:40, 30:50] = 1
    assert some(name).box(Structure("b", "a"), 60, 80, outer) == Box(18, 28, 42, 52)


@pytest.mark.parametrize("name", list(FAMILY))
def test_without_tiles_one_frame_is_learned_from_and_answers(name: str) -> None:
    box, mask = Box(0, 0, 60, 80), np.zeros((60, 80), np.uint8)
    assert some(name).samples(box, mask, np.random.default_rng(0)) == some(name).tiles(box) == (box,)


@pytest.mark.parametrize("name", list(FAMILY))
def test_it_comes_back_from_a_run_a_dataset_and_a_bundle_as_it_was(name: str) -> None:
    run = RunConfig.load(overrides=[f"recipe.name={name}", "recipe.size=64"])
    assert (type(run.recipe), run.recipe.size) == (FAMILY.load(name), 64)
    assert RunConfig.from_json(run.canonical_json()) == run
    assert stored(run.recipe.model_dump(mode="json"), "") == run.recipe
    dataset = Dataset(
        task="t", instrument="A", reader="folder", recipe=run.recipe, quota=(60, 15, 25), cases=(), test_checksum=""
    )
    assert Dataset.model_validate_json(dataset.model_dump_json()).recipe == run.recipe
    assert run.recipe != RunConfig.load(overrides=[f"recipe.name={name}", "recipe.size=32"]).recipe


def test_what_does_not_name_its_recipe_has_the_one_there_was_at_first() -> None:
    assert Recipe.parse({"border": 0.2, "size": 64}) == FundusRecipe(border=0.2, size=64)
    assert RunConfig().recipe == FundusRecipe()


def test_a_setting_of_another_recipe_and_an_unknown_recipe_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"recipe\.gamma"):
        RunConfig.load(overrides=["recipe.gamma=2"])
    with pytest.raises(UsageError, match="did you mean 'fundus'"):
        RunConfig.load(overrides=["recipe.name=fundos"])
    with pytest.raises(DataContractError, match="recipe cannot be read"):
        stored({"name": "ct", "border": 0.1}, "bundle.json")


def test_the_schema_explains_the_settings_of_all_recipes() -> None:
    fields = RunConfig.model_fields["recipe"]
    assert fields.annotation is Recipe
    shown = Recipe.model_json_schema()["properties"]
    assert "retcam" in shown["gamma"]["description"]
    assert shown["border"]["default"] == 0.1
    assert set(shown) == {key for name in FAMILY for key in FAMILY.load(name).model_fields}
    assert AnyRecipe is not Recipe


def test_the_base_alone_is_no_recipe() -> None:
    with pytest.raises((TypeError, ValidationError)):
        Recipe(name="fundus", size=32)  # type: ignore[abstract]
