from collections.abc import Sequence

import numpy as np
import pytest

from parfocal.augmentation.clicks import Click
from parfocal.evaluation.interaction import Rounds, after, effort, noc, simulate

IMAGE = np.zeros((40, 60, 3), np.uint8)


def disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:40, :60]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def painter(radius: int):
    """Paints a disc round every click, over what was answered before."""

    def predict(image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray | None) -> np.ndarray:
        mask = np.zeros(image.shape[:2], bool) if previous is None else previous.copy()
        last = clicks[-1]
        mask[disc(last.row, last.column, radius)] = last.object
        return mask

    return predict


def test_a_perfect_first_answer_needs_one_click() -> None:
    rounds = simulate(painter(9), IMAGE, disc(20, 30, 9), 5)
    assert rounds.clicks == (Click(20, 30, object=True),)
    assert rounds.dice == (1.0,)
    assert noc(rounds, 0.9) == 1
    assert rounds.after(5) == 1.0, "clicks that were no longer needed change nothing"


def test_each_click_goes_into_what_is_still_wrong_and_the_previous_answer_comes_back() -> None:
    truth = disc(20, 15, 8) | disc(20, 45, 6)
    rounds = simulate(painter(8), IMAGE, truth, 6)
    assert rounds.clicks[:2] == (Click(20, 15), Click(20, 45))
    assert not rounds.clicks[2].object, "the second disc was painted too large"
    assert rounds.dice[1] > rounds.dice[0]


def test_from_a_mask_that_is_there_the_first_click_is_its_correction() -> None:
    truth = disc(20, 15, 8) | disc(20, 45, 6)
    rounds = simulate(painter(6), IMAGE, truth, 4, begun=disc(20, 15, 8))
    assert rounds.clicks == (Click(20, 45),)
    assert rounds.dice == (1.0,)


def test_a_mask_that_is_right_needs_no_click() -> None:
    rounds = simulate(painter(6), IMAGE, disc(20, 15, 8), 4, begun=disc(20, 15, 8))
    assert (rounds.clicks, rounds.dice, rounds.after(1)) == ((), (1.0,), 1.0)


def test_an_empty_truth_is_judged_with_background_clicks() -> None:
    rounds = simulate(painter(8), IMAGE, np.zeros((40, 60)), 3)
    assert [click.object for click in rounds.clicks] == [False]
    assert rounds.dice == (1.0,)


def test_a_predictor_that_never_gets_there_spends_every_click_and_counts_as_all_of_them() -> None:
    hopeless = simulate(lambda image, clicks, previous: np.zeros((40, 60), bool), IMAGE, disc(20, 30, 9), 4)
    assert len(hopeless.clicks) == 4
    assert noc(hopeless, 0.85) is None
    quick = Rounds((0.5, 0.86, 0.91), (Click(1, 1),) * 3, 4)
    assert (noc(quick, 0.85), noc(quick, 0.90)) == (2, 3)
    found = effort([hopeless, quick], ["p", "q"], 0.85)
    assert (found.mean, found.reached, found.cases, found.clicks_max) == (3.0, 1, 2, 4)


def test_patients_weigh_alike_and_intervals_hold_the_mean() -> None:
    case = [Rounds((value,), (Click(1, 1),), 1) for value in (0.2, 0.4, 0.9)]
    mean, interval = after(case, ["p", "p", "q"], 1)
    assert mean == pytest.approx((0.3 + 0.9) / 2)
    assert interval is not None
    assert interval.low <= mean <= interval.high
    assert after(case[:1], ["p"], 1)[1] is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="0 clicks"):
        simulate(painter(3), IMAGE, disc(20, 30, 9), 0)
    with pytest.raises(ValueError, match="an answer of"):
        simulate(lambda image, clicks, previous: np.zeros((2, 2), bool), IMAGE, disc(20, 30, 9), 1)
    with pytest.raises(ValueError, match="no cases"):
        effort([], [], 0.9)
    with pytest.raises(ValueError, match="different"):
        effort([Rounds((1.0,), (), 1), Rounds((1.0,), (), 2)], ["p", "q"], 0.9)
    with pytest.raises(ValueError, match="2 clicks of 1"):
        Rounds((1.0,), (), 1).after(2)
