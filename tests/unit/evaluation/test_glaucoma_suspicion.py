import json

import numpy as np
import pytest

from parfocal.evaluation.suspicion import WARNING, Suspicion, read, suspicion


def oval(row: float, column: float, height: float, width: float) -> np.ndarray:
    rows, columns = np.mgrid[:200, :220]
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1


DISC = oval(100, 110, 60, 60)
NOTHING = np.zeros_like(DISC)


def readings(found: Suspicion) -> dict[str, str]:
    return {one.name: one.reading for one in found.indicators}


@pytest.mark.parametrize(
    ("radius", "reading", "level"), [(30, "within", "none"), (39, "borderline", "some"), (45, "outside", "raised")]
)
def test_a_cup_is_read_against_the_published_range(radius: float, reading: str, level: str) -> None:
    found = suspicion(DISC, oval(100, 110, radius, radius))
    assert readings(found)["cdr"] == readings(found)["vertical_cdr"] == reading
    assert found.level == level
    assert found.indicators[0].value == pytest.approx(radius / 60, abs=0.01)


def test_a_tall_cup_raises_suspicion_by_its_height_alone() -> None:
    found = suspicion(DISC, oval(100, 110, 45, 20))
    assert readings(found)["cdr"] == "within"
    assert readings(found)["vertical_cdr"] == "outside"
    assert found.level == "raised"


def test_isnt_is_read_only_where_the_eye_is_known_and_turns_with_it() -> None:
    cup = oval(95, 106, 22, 36)  # widest rim below, then above, then on the right
    unknown = suspicion(DISC, cup)
    assert readings(unknown)["isnt"] == "not read"
    assert "which eye" in unknown.indicators[3].why
    assert readings(suspicion(DISC, cup, "right"))["isnt"] == "within"
    left = suspicion(DISC, cup, "left")
    assert readings(left)["isnt"] == "outside"
    assert (left.level, unknown.level) == ("some", "none"), "a broken rule alone is weak"


@pytest.mark.parametrize(("other", "reading"), [(0.35, "within"), (0.30, "outside"), (0.72, "outside")])
def test_eyes_that_differ_by_a_fifth_are_asymmetric(other: float, reading: str) -> None:
    disc, cup = np.zeros((100, 10), bool), np.zeros((100, 10), bool)
    disc[:, 2:8], cup[25:75, 4:6] = True, True
    found = suspicion(disc, cup, other=other)
    assert readings(found)["asymmetry"] == reading
    assert found.level == ("raised" if reading == "outside" else "none")
    twin = cup.copy()
    twin[round(100 * other) :] = False
    twin[: round(100 * other), 4:6] = True
    assert suspicion(disc, cup).beside(suspicion(disc, twin)) == found


def test_without_a_disc_nothing_is_read_and_nothing_is_guessed() -> None:
    found = suspicion(NOTHING, NOTHING, "left", other=0.3)
    assert found.level == "not read"
    assert set(readings(found).values()) == {"not read"}
    assert all(one.value is None and one.why for one in found.indicators)


def test_every_range_names_who_published_it_and_the_warning_goes_along() -> None:
    found = suspicion(DISC, oval(95, 106, 22, 36), "right", other=0.4)
    assert all("19" in one.source or "20" in one.source for one in found.indicators)
    assert json.loads(json.dumps(found.as_dict()))["warning"] == WARNING
    text = found.text()
    assert "no diagnosis" in found.warning
    assert len(text.splitlines()) == 5
    assert "suspicion none" in text


def test_a_task_without_disc_and_cup_has_no_indicators() -> None:
    assert read({"lung": DISC}) is None
    assert read({"disc": DISC, "cup": NOTHING}) is not None
