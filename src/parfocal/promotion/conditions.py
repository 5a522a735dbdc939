"""The gate's conditions on one cell, each answered with a number, its limit and a sentence.

Three answers: met; broken, when harm is shown or a count is over its limit; or it cannot be said, when an interval
lies on both sides of its limit or there are too few patients for an interval to mean what it says.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Check, Interval, Outcome
from parfocal.evaluation.statistics import paired_interval, patients_needed, power, sign_test
from parfocal.promotion.cells import (
    Cell,
    count_failures,
    count_radius_changes,
    count_radius_close,
    differences,
    mean_dice,
)
from parfocal.promotion.policy import GatePolicy

PROMOTE, REFUSE, INCONCLUSIVE = Outcome.PROMOTE, Outcome.REFUSE, Outcome.INCONCLUSIVE
ROUNDING = 1e-9
"""Slack for sums of floats that a person would call equal."""


def size(cell: Cell, policy: GatePolicy, uses: int) -> Check:
    """Enough test patients for the intervals to hold their level; also says how worn the test set is."""
    enough = cell.patients >= policy.min_patients
    reason = (
        f"The {cell.name} is judged on {cell.patients} patients ({len(cell.challenger)} cases); "
        f"{'enough' if enough else 'too few to say anything with confidence, so a person decides'}. "
        f"These test cases had been used in {uses} decision{'' if uses == 1 else 's'} before."
    )
    return _check("size", cell, PROMOTE if enough else INCONCLUSIVE, cell.patients, policy.min_patients, reason)


def floor(cell: Cell, policy: GatePolicy) -> Check:
    """Mean Dice is of use at all."""
    value, limit = mean_dice(cell.challenger), policy.floor_of(cell.structure)
    met = value >= limit
    reason = f"Mean Dice of the {cell.name} is {value:.3f}, {'at or above' if met else 'under'} the floor of {limit:g}."
    return _check("floor", cell, PROMOTE if met else REFUSE, value, limit, reason)


def constant_mask(cell: Cell, policy: GatePolicy) -> Check:
    """Better than the rival that sees no image, with an interval that excludes 0."""
    sample = differences(cell.challenger, cell.constant)
    interval = _interval(sample, policy)
    outcome = _side(interval, 0.0, cell, policy)
    said = {
        PROMOTE: "better than one mask given for every image",
        REFUSE: "no better than one mask given for every image",
        INCONCLUSIVE: "whether it beats one mask given for every image cannot be said" + _few(cell, policy),
    }[outcome]
    reason = f"The {cell.name} is ahead of the constant mask by {_shown(interval, policy)}: {said}."
    return _check("constant-mask", cell, outcome, interval.estimate, 0.0, reason, interval)


def gain(cell: Cell, policy: GatePolicy) -> Check:
    """On the new instrument: the lower bound of the paired gain over the champion is above 0."""
    assert cell.champion is not None
    sample = differences(cell.challenger, cell.champion)
    interval = _interval(sample, policy)
    outcome = _side(interval, 0.0, cell, policy)
    if outcome is INCONCLUSIVE and cell.patients >= policy.min_patients and interval.high < policy.useful_gain:
        outcome = REFUSE
    said = {
        PROMOTE: "it is better there than the champion",
        REFUSE: f"no gain is shown, and one of {policy.useful_gain:g} is ruled out",
        INCONCLUSIVE: "whether it is better there than the champion cannot be said" + _few(cell, policy),
    }[outcome]
    reason = f"The {cell.name} changes by {_shown(interval, policy)}: {said}. {_spread(sample)}."
    return _check("gain", cell, outcome, interval.estimate, 0.0, reason, interval)


def no_loss(cell: Cell, policy: GatePolicy) -> Check:
    """In an old cell: the lower bound of the change is above minus the margin. Says what the test could see."""
    assert cell.champion is not None
    sample = differences(cell.challenger, cell.champion)
    interval = _interval(sample, policy)
    outcome = _side(interval, -policy.margin, cell, policy)
    said = {
        PROMOTE: f"a loss of {policy.margin:g} is ruled out",
        REFUSE: f"a loss of more than {policy.margin:g} is shown",
        INCONCLUSIVE: f"whether it loses more than {policy.margin:g} cannot be said{_few(cell, policy)}",
    }[outcome]
    seen = f"{_spread(sample)}; {_power(sample, policy)}"
    reason = f"The {cell.name} changes by {_shown(interval, policy)}: {said}. {seen}."
    return _check("no-loss", cell, outcome, interval.estimate, -policy.margin, reason, interval)


def creep(cell: Cell, policy: GatePolicy, best: float) -> Check:
    """Mean Dice is near the best ever promoted in the cell, so that small losses do not add up."""
    value, limit = mean_dice(cell.challenger), best - policy.creep
    outcome = PROMOTE if value >= limit - ROUNDING else REFUSE
    if outcome is REFUSE and cell.champion is not None:
        interval = _interval(differences(cell.challenger, cell.champion), policy)
        if mean_dice(cell.champion) + interval.high >= limit:
            outcome = INCONCLUSIVE
    said = {
        PROMOTE: f"that is within {policy.creep:g} of it",
        REFUSE: f"it has fallen more than {policy.creep:g}",
        INCONCLUSIVE: f"it may have fallen more than {policy.creep:g}, or be a chance of these patients",
    }[outcome]
    reason = f"Mean Dice of the {cell.name} is {value:.3f}; the best ever promoted there was {best:.3f}, and {said}."
    return _check("creep", cell, outcome, value, limit, reason)


def rrp10(cell: Cell, policy: GatePolicy) -> Check:
    """Images with the radius within 10 %: the net loss is at most the larger of some points and one case.

    A larger one is refused when it is shown by an exact sign test on the cases that changed side (McNemar), else it
    goes to a person: of 25 cases, two more outside by chance are nothing rare.
    """
    assert cell.champion is not None
    cases = len(cell.challenger)
    lost, won = count_radius_changes(cell.champion, cell.challenger)
    before, after = count_radius_close(cell.champion), count_radius_close(cell.challenger)
    value, limit = 100 * (before - after) / cases, max(policy.rrp_points, 100 / cases)
    outcome = PROMOTE if value <= limit + ROUNDING else INCONCLUSIVE
    if outcome is INCONCLUSIVE and sign_test(lost, won) <= (1 - policy.level) / 2:
        outcome = REFUSE
    said = {PROMOTE: "at most", REFUSE: "over", INCONCLUSIVE: "over, though not by more than chance may do,"}[outcome]
    reason = (
        f"The radius of the {cell.name} is within 10 % in {after} of {cases} cases, {before} with the champion: "
        f"a net loss of {value:.1f} points, {said} the {limit:.1f} allowed."
    )
    return _check("rrp10", cell, outcome, value, limit, reason)


def failures(cell: Cell, policy: GatePolicy) -> Check:
    """Cases under the failing Dice rise by no more than a few; a mean hides them."""
    assert cell.champion is not None
    before = count_failures(cell.champion, policy.failure_dice)
    after = count_failures(cell.challenger, policy.failure_dice)
    met = after - before <= policy.failure_rise
    reason = (
        f"{after} of {len(cell.challenger)} cases of the {cell.name} are under Dice {policy.failure_dice:g}, "
        f"{before} with the champion: a rise of {after - before}, "
        f"{'at most' if met else 'over'} the {policy.failure_rise} allowed."
    )
    return _check("failures", cell, PROMOTE if met else REFUSE, after - before, policy.failure_rise, reason)


def _side(interval: Interval, limit: float, cell: Cell, policy: GatePolicy) -> Outcome:
    """Which side of its limit an interval lies on; neither, when it holds the limit or its level is not to be had."""
    if cell.patients < policy.min_patients:
        return INCONCLUSIVE
    if interval.low > limit:
        return PROMOTE
    return REFUSE if interval.high < limit or interval.low == interval.high else INCONCLUSIVE


def _interval(sample: NDArray[np.float64], policy: GatePolicy) -> Interval:
    """Of the mean. Where there is none, as with one patient, it is all that a difference of Dice can be."""
    if len(sample) < 2:
        return Interval(float(sample[0]), -1.0, 1.0, policy.level)
    found = paired_interval(
        sample, level=policy.level, seed=policy.seed, resamples=policy.resamples, method=policy.interval
    )
    return replace(found, low=max(found.low, -1.0), high=min(found.high, 1.0))


def _few(cell: Cell, policy: GatePolicy) -> str:
    few = cell.patients < policy.min_patients
    return f", for with {cell.patients} patients the interval may be narrower than the truth" if few else ""


def _shown(interval: Interval, policy: GatePolicy) -> str:
    return f"{interval.estimate:+.3f} Dice ({policy.level:.0%} interval {interval.low:+.3f} to {interval.high:+.3f})"


def _spread(sample: NDArray[np.float64]) -> str:
    if len(sample) < 2:
        return "One patient shows no spread"
    return f"Standard deviation {np.std(sample, ddof=1):.3f} of the paired differences over {len(sample)} patients"


def _power(sample: NDArray[np.float64], policy: GatePolicy) -> str:
    if len(sample) < 2:
        return "so what such a test could see is unknown"
    sd = float(np.std(sample, ddof=1))
    if sd < ROUNDING:
        return "all changed alike, so the smallest loss would be seen"
    chance = power(len(sample), sd, policy.margin, policy.level)
    return (
        f"a true equal would pass {chance:.0%} of such tests, and four in five with "
        f"{patients_needed(sd, policy.margin, policy.level)} patients"
    )


def _check(
    name: str, cell: Cell, outcome: Outcome, value: float, limit: float, reason: str, interval: Interval | None = None
) -> Check:
    return Check(name, cell.instrument, cell.structure, outcome, float(value), float(limit), reason, interval)
