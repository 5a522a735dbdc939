"""What is old may be forgotten by a clock that went evenly for a day, and by no other."""

from collections.abc import Callable

import pytest
from clock_kit import Clocks

from parfocal.core.clock import DAY

YEAR = 365 * DAY


@pytest.mark.parametrize("step", [2 * YEAR, -2 * YEAR, 3600.0])
def test_a_clock_is_believed_after_a_day_and_anew_after_it_was_set(step: float) -> None:
    clocks = Clocks()
    steady = clocks.steady()
    assert steady.now() is None
    clocks.passes(DAY)
    assert steady.now() == clocks.wall()
    clocks.is_set(step)
    assert steady.now() is None, "at once, before anything is forgotten"
    clocks.passes(DAY - 1)
    assert steady.now() is None
    clocks.passes(1)
    assert steady.now() == clocks.wall()


def test_a_clock_that_is_set_after_it_was_asked_changes_nothing_of_what_it_said() -> None:
    clocks = Clocks()
    steady = clocks.steady()
    clocks.passes(DAY)
    said, true = steady.now(), clocks.wall()
    clocks.is_set(2 * YEAR)
    assert said == true


def test_corrections_of_seconds_are_no_step() -> None:
    clocks = Clocks()
    steady = clocks.steady()
    for _ in range(24):
        clocks.passes(3600)
        clocks.is_set(1)
        steady.now()
    assert steady.now() is not None


def written(now: float, *ages: float) -> Callable[[float], float | None]:
    return lambda before: max((now - age for age in ages if now - age < before), default=None)


@pytest.mark.parametrize(
    ("ages", "believed"),
    [
        ((60.0, 1.5 * DAY), True),
        ((-60.0, 1.5 * DAY), True),
        ((60.0, 3600.0, 1.1 * DAY, 9 * DAY), True),
        ((), False),
        ((60.0,), False),
        ((1.5 * DAY,), False),
        ((-3600.0, 60.0, 1.5 * DAY), False),
    ],
    ids=["two days", "a little ahead", "many", "new", "a first day", "a day away", "the future"],
)
def test_what_earlier_processes_wrote_tells_that_the_clock_went_evenly(ages: tuple[float, ...], believed: bool) -> None:
    clocks = Clocks()
    steady = clocks.steady()
    steady.credit(written(clocks.wall(), *ages))
    assert (steady.now() is not None) is believed


def test_work_since_a_step_is_no_credit_for_the_next_process() -> None:
    clocks = Clocks()
    began = clocks.wall()
    clocks.is_set(2 * YEAR)
    clocks.passes(3600)
    steady = clocks.steady()
    steady.credit(written(clocks.wall(), 60.0, 3600.0, clocks.wall() - began))
    assert steady.now() is None
