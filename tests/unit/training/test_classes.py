import numpy as np
import pytest

from parfocal.core.errors import DataContractError
from parfocal.core.task import task
from parfocal.preprocessing.classes import Classes
from parfocal.preprocessing.shards import Arrays
from parfocal.training.classes import joined, parted

EYE = Classes.of(task("fundus"), ("disc", "cup"))


def arrays(frames: dict[str, list[int]], mask: list[int]) -> Arrays:
    """Frames of one row of three pixels, by case and grey level; all have the same mask."""
    levels = [level for found in frames.values() for level in found]
    image = np.stack([np.full((1, 3, 3), level, np.uint8) for level in levels])
    masks = np.array([[mask]] * len(levels), np.uint8)
    return Arrays(image, masks, tuple(case for case, found in frames.items() for _ in found))


DISCS = arrays({"a": [10, 11], "b": [20, 21]}, [0, 1, 1])
CUPS = arrays({"c": [30], "a": [10, 11]}, [0, 0, 1])


def test_each_frame_comes_once_with_what_was_drawn_in_it() -> None:
    joint = joined({"disc": DISCS, "cup": CUPS}, EYE)
    assert joint.case_ids == ("a", "a", "b", "b", "c")
    assert joint.image[:, 0, 0, 0].tolist() == [10, 11, 20, 21, 30]
    either, not_cup = 128 + 0b110, 128 + 0b011
    assert joint.mask[:, 0].tolist() == [[0, 1, 2]] * 2 + [[0, either, either]] * 2 + [[not_cup, not_cup, 2]]


def test_parted_again_each_structure_has_its_frames_and_masks_and_they_join_to_the_same() -> None:
    joint = joined({"disc": DISCS, "cup": CUPS}, EYE)
    parts = parted(joint, EYE)
    assert parts["disc"].case_ids == ("a", "a", "b", "b")
    assert parts["cup"].case_ids == ("a", "a", "c")
    assert parts["disc"].mask[0, 0].tolist() == [0, 1, 1]
    assert parts["cup"].mask[0, 0].tolist() == [0, 0, 1]
    again = joined(parts, EYE)
    assert again.case_ids == joint.case_ids
    assert np.array_equal(again.mask, joint.mask)
    assert np.array_equal(again.image, joint.image)


@pytest.mark.parametrize("frames", [{"a": [10, 12]}, {"a": [10]}], ids=["other pixels", "other copies"])
def test_structures_with_frames_of_their_own_are_refused_with_what_to_do(
    frames: dict[str, list[int]],
) -> None:
    with pytest.raises(DataContractError, match=r"1 of 1 cases") as error:
        joined({"disc": DISCS, "cup": arrays(frames, [0, 0, 1])}, EYE)
    assert "recipe.one_frame=true" in error.value.next
