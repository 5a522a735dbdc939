"""How good a segmentation gets with each click, and how many clicks it takes: NoC@85, NoC@90.

The clicks are simulated from the truth (`parfocal.augmentation.clicks`), as in training; any predictor can be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click, first, following
from parfocal.core.types import Interval
from parfocal.evaluation.metrics import Mask, dice
from parfocal.evaluation.statistics import by_patient, paired_interval
from parfocal.preprocessing.images import Picture

Predict = Callable[[Picture, Sequence[Click], Mask | None], Mask]
"""Image [H, W, 3] or [H, W], every click so far, the mask answered before or None -> mask bool [H, W]."""

TARGETS = (0.85, 0.90)
"""Dice that NoC@85 and NoC@90 ask for."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """One case from its first click to its last.

    Attributes:
        dice: after 1, 2, ... clicks; as long as `clicks`, or 1 where it was right before the first.
        clicks: where they fell, in source pixels.
        clicks_max: how many were allowed; fewer were needed when an answer was right in every pixel.
    """

    dice: tuple[float, ...]
    clicks: tuple[Click, ...]
    clicks_max: int

    def after(self, clicks: int) -> float:
        """Dice after that many clicks, of which those that were no longer needed change nothing.

        Raises:
            ValueError: not between 1 and `clicks_max`.
        """
        if not 1 <= clicks <= self.clicks_max:
            raise ValueError(f"{clicks} clicks of {self.clicks_max}")
        return self.dice[min(clicks, len(self.dice)) - 1]


@dataclass(frozen=True, slots=True)
class Effort:
    """The clicks that cases took to reach a Dice.

    Attributes:
        target: that Dice.
        clicks_max: how many were allowed; a case that never reached the target counts as this many.
        mean: NoC, the mean over patients.
        interval: of that mean; None for fewer than two patients.
        reached: cases that reached the target.
        cases: all cases.
    """

    target: float
    clicks_max: int
    mean: float
    interval: Interval | None
    reached: int
    cases: int


def simulate(
    predict: Predict, image: Picture, truth: NDArray[np.generic], clicks_max: int = 20, begun: Mask | None = None
) -> Rounds:
    """Click a case until the answer is right everywhere or `clicks_max` clicks are spent.

    The first click is the object's innermost point (the background's for an empty truth), each later one the innermost
    point of the largest error. Evaluation has no chance in it: the same case gives the same rounds.

    Args:
        predict: what is judged.
        image: uint8 BGR [H, W, 3] or uint16 grey [H, W].
        truth: mask [H, W].
        clicks_max: at least 1; paper 003 evaluates with 1, NoC is usual with 20 (Xu and others 2016).
        begun: mask [H, W] that is there already, such as a model's proposal; the first click is in its largest error.
            Where it has none there are no rounds but its own, without a click.

    Raises:
        ValueError: `clicks_max` is below 1, or an answer is not as large as the truth.
    """
    if clicks_max < 1:
        raise ValueError(f"{clicks_max} clicks")
    true: Mask = truth.astype(np.bool_)
    start = first(true) if begun is None else following(true, begun)
    if start is None:
        return Rounds((1.0,), (), clicks_max)
    clicks, scores = [start], list[float]()
    answer = begun
    while True:
        answer = predict(image, tuple(clicks), answer)
        if answer.shape != true.shape:
            raise ValueError(f"an answer of {answer.shape} for a truth of {true.shape}")
        scores.append(dice(answer, true))
        nearest = following(true, answer) if len(clicks) < clicks_max else None
        if nearest is None:
            return Rounds(tuple(scores), tuple(clicks), clicks_max)
        clicks.append(nearest)


def noc(rounds: Rounds, target: float) -> int | None:
    """Number of clicks after which Dice first is at least `target`; None when it never is.

    Summaries count a case that never gets there as `clicks_max`, the convention of NoC tables (Xu and others, Deep
    interactive object selection, 2016), and say beside it how many got there.
    """
    return next((n for n, score in enumerate(rounds.dice, 1) if score >= target), None)


def effort(cases: Sequence[Rounds], patients: Sequence[str], target: float, *, level: float = 0.95) -> Effort:
    """NoC over cases, with the bootstrap interval of its mean over patients.

    Args:
        cases: at least one, all with the same `clicks_max`.
        patients: of each case; patients are drawn, not images.
        target: Dice to reach.
        level: of the interval, two-sided.

    Raises:
        ValueError: no cases, or cases that were allowed different numbers of clicks.
    """
    allowed = {case.clicks_max for case in cases}
    if len(allowed) != 1:
        raise ValueError("cases that were allowed different numbers of clicks" if cases else "an effort over no cases")
    most = allowed.pop()
    counts = [noc(case, target) for case in cases]
    values = by_patient([float(most if count is None else count) for count in counts], patients)
    reached = sum(count is not None for count in counts)
    return Effort(target, most, float(values.mean()), _interval(values, level), reached, len(cases))


def after(
    cases: Sequence[Rounds], patients: Sequence[str], clicks: int, *, level: float = 0.95
) -> tuple[float, Interval | None]:
    """Mean Dice over patients after so many clicks, and its interval (None for fewer than two patients).

    Raises:
        ValueError: no cases, or more clicks than were allowed.
    """
    if not cases:
        raise ValueError("a mean over no cases")
    values = by_patient([case.after(clicks) for case in cases], patients)
    return float(values.mean()), _interval(values, level)


def _interval(values: NDArray[np.float64], level: float) -> Interval | None:
    return paired_interval(values, level=level) if len(values) > 1 else None
