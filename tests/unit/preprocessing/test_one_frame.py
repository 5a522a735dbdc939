import numpy as np
import pytest

from parfocal.core.task import Structure
from parfocal.preprocessing.recipes import FAMILY, Recipe

CUP = Structure("cup", inside="disc")


@pytest.mark.parametrize("name", list(FAMILY))
def test_with_one_frame_an_inner_structure_is_looked_for_where_the_outermost_is(name: str) -> None:
    recipe = Recipe.parse({"name": name, "size": 32, "one_frame": True})
    outer = np.zeros((60, 80), np.uint8)
    whole = recipe.box(Structure("disc"), 60, 80)
    assert recipe.box(CUP, 60, 80, outer) is None, "nothing is inside what is not there"
    assert recipe.box(CUP, 60, 80, None) == whole, "nobody drew the outer one"
    outer[20:40, 30:50] = 1
    assert recipe.box(CUP, 60, 80, outer) == whole


def test_what_was_made_without_the_setting_says_nothing_of_it_and_reads_as_before() -> None:
    plain = Recipe.parse({"size": 32})
    assert "one_frame" not in plain.model_dump(mode="json")
    kept = Recipe.parse({"size": 32, "one_frame": True})
    assert Recipe.parse(kept.model_dump(mode="json")) == kept != plain
