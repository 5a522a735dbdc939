import numpy as np
import pytest

from parfocal.core.errors import UsageError
from parfocal.core.task import Structure, Task, task
from parfocal.preprocessing.classes import MOST, POSSIBLE, Classes
from parfocal.preprocessing.shards import UNKNOWN

EYE = Classes.of(task("fundus"), ("disc", "cup"))
DISC, CUP = np.array([0, 1, 1, 0], np.uint8), np.array([0, 0, 1, 1], np.uint8)


def test_a_disc_is_rim_and_cup_and_a_cup_is_a_class_of_its_own() -> None:
    assert EYE.count == 3
    assert EYE.groups == ((1, 2), (2,))


def test_a_cup_beyond_the_disc_ends_where_the_disc_ends() -> None:
    labels = EYE.labels({"disc": DISC, "cup": CUP})
    assert labels.tolist() == [0, 1, 2, 0]
    assert EYE.mask(labels, "disc").tolist() == [0, 1, 1, 0]
    assert EYE.mask(labels, "cup").tolist() == [0, 0, 1, 0]


def test_without_a_cup_a_pixel_of_the_disc_is_rim_or_cup() -> None:
    labels = EYE.labels({"disc": DISC})
    either = 128 + 0b110
    assert labels.tolist() == [0, either, either, 0]
    assert POSSIBLE[either, :3].tolist() == [False, True, True]
    assert EYE.mask(labels, "disc").tolist() == DISC.tolist()
    assert EYE.mask(labels, "cup").tolist() == [0, UNKNOWN, UNKNOWN, 0]


def test_without_a_disc_the_cup_is_known_and_the_rim_is_not() -> None:
    labels = EYE.labels({"cup": CUP})
    either = 128 + 0b011
    assert labels.tolist() == [either, either, 2, 2]
    assert EYE.mask(labels, "disc").tolist() == [UNKNOWN, UNKNOWN, 1, 1]


def test_what_is_unknown_may_be_anything() -> None:
    assert POSSIBLE[UNKNOWN].all()
    assert (EYE.mask(np.full(3, UNKNOWN, np.uint8), "cup") == UNKNOWN).all()


def test_of_two_beside_each_other_the_first_holds_and_each_may_have_its_own_inside() -> None:
    beside = Task("t", "ct", (Structure("a"), Structure("core", inside="a"), Structure("b")))
    classes = Classes.of(beside, ("a", "core", "b"))
    assert dict(classes.channels) == {"a": (1, 2), "core": (2,), "b": (3,)}
    a, core, b = (np.array(mask, np.uint8) for mask in ([1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]))
    assert classes.labels({"a": a, "core": core, "b": b}).tolist() == [1, 2, 3, 0]
    assert classes.labels({"b": b}).tolist() == [128 + 0b0111, 3, 3, 128 + 0b0111]
    assert Classes.of(beside, ("core", "b")).channels == {"core": (1,), "b": (2,)}


def test_more_structures_than_a_label_has_room_for_are_refused() -> None:
    many = Task("t", "ct", tuple(Structure(f"s{i}") for i in range(MOST)))
    with pytest.raises(UsageError, match="at most 6"):
        Classes.of(many, many.names)
