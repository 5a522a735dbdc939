"""What the gate does to challengers whose truth is known: how often harm passes, and how often a good one does not.

Every decision is the real one, `gate.decide` on an evaluation; only the scores are drawn (`promotion.population`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from parfocal.core.types import Check, Decision, Outcome
from parfocal.evaluation.statistics import power
from parfocal.promotion import gate
from parfocal.promotion.policy import GatePolicy
from parfocal.promotion.population import OLD, STRUCTURE, Population, draw

DECLARED = 0.05
"""Share of harmful or useless challengers that may pass, and of good ones that may be refused."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """True changes of a challenger. `harm`: in one old cell; `gain`: on the new instrument.

    Attributes:
        condition: that must not be met here (on the first old cell, or on the new one); empty: a refusal is the error.
    """

    name: str
    harm: float
    gain: float
    condition: str


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of one scenario's challengers, as shares of `runs`.

    Attributes:
        error: share in which the condition that has to find the harm was met all the same; a promotion needs all
            conditions of all cells, so it is at most as frequent. Of good ones: the share refused.
        no_loss: share of the first old cell's no-loss conditions that were met.
        refused_by: share of runs in which each condition was broken.
    """

    scenario: str
    patients: int
    runs: int
    promote: float
    refuse: float
    inconclusive: float
    error: float
    no_loss: float
    refused_by: Mapping[str, float]

    @property
    def held(self) -> bool:
        """Whether the error is what is declared, three standard errors of the simulation allowed."""
        return self.error <= DECLARED + 3 * math.sqrt(DECLARED * (1 - DECLARED) / self.runs)


def scenarios(policy: GatePolicy, population: Population) -> tuple[Scenario, ...]:
    """Harm at the margin must not pass, nor a challenger that learned nothing; a good one must not be refused."""
    return (
        Scenario("harm", -policy.margin, population.gain, "no-loss"),
        Scenario("useless", 0.0, 0.0, "gain"),
        Scenario("good", 0.0, population.gain, ""),
    )


def simulate(
    scenario: Scenario, population: Population, policy: GatePolicy, *, runs: int = 1000, seed: int = 0
) -> Rates:
    """Put `runs` challengers of one kind before the gate, each on patients of its own."""
    rng = np.random.default_rng([seed, population.patients])
    outcomes, broken, met = Counter[Outcome](), Counter[str](), Counter[str]()
    for _ in range(runs):
        decision = gate.decide(draw(rng, population, scenario.harm, scenario.gain), policy, best={})
        outcomes[decision.outcome] += 1
        broken.update({check.name for check in decision.checks if check.outcome is Outcome.REFUSE})
        met.update(check.name for check in _decisive(decision) if check.outcome is Outcome.PROMOTE)
    share = {outcome: outcomes[outcome] / runs for outcome in Outcome}
    return Rates(
        scenario.name,
        population.patients,
        runs,
        share[Outcome.PROMOTE],
        share[Outcome.REFUSE],
        share[Outcome.INCONCLUSIVE],
        met[scenario.condition] / runs if scenario.condition else share[Outcome.REFUSE],
        met["no-loss"] / runs,
        {name: count / runs for name, count in sorted(broken.items())},
    )


@dataclass(frozen=True, slots=True)
class Creep:
    """Retrains that each lose a little, put before the gate one after another on the same frozen test.

    Attributes:
        loss: true loss of every retrain in one old cell.
        attempts: retrains, promoted or not; each starts from the champion.
        promoted: of them, on average.
        lost, lost_unlimited: true loss at the end, mean and worst twentieth; the second pair without a limit of creep.
        over: share of the sequences in which the true loss went over limit and margin together.
    """

    loss: float
    attempts: int
    runs: int
    promoted: float
    lost: tuple[float, float]
    lost_unlimited: tuple[float, float]
    over: float


def creep(
    population: Population,
    policy: GatePolicy,
    *,
    loss: float = 0.008,
    attempts: int = 12,
    runs: int = 100,
    seed: int = 0,
) -> Creep:
    """Let small losses try to add up, with the limit of creep and without.

    The spread of a small retrain's differences is taken as a third of the population's: larger ones are not promoted
    often enough to creep.
    """
    calm = replace(population, sd=population.sd / 3, old=1)
    found = [list(_sequences(calm, one, loss, attempts, runs, seed)) for one in (policy, _unlimited(policy))]
    losses = [loss * np.array(promoted) for promoted in found]
    ends = [(float(np.mean(ends)), float(np.quantile(ends, 0.95))) for ends in losses]
    over = float(np.mean(losses[0] > policy.creep + policy.margin))
    return Creep(loss, attempts, runs, float(np.mean(found[0])), ends[0], ends[1], over)


def predicted(population: Population, policy: GatePolicy) -> float:
    """The power that a decision prints for one old cell of this population."""
    return power(population.patients, population.sd, policy.margin, policy.level)


def _sequences(
    population: Population, policy: GatePolicy, loss: float, attempts: int, runs: int, seed: int
) -> Iterator[int]:
    """How many of `attempts` retrains were promoted, run by run."""
    rng = np.random.default_rng([seed, 1])
    for _ in range(runs):
        old = population.champion + population.spread * rng.standard_normal(population.patients)
        best, promoted = float(old.mean()), 0
        for _ in range(attempts):
            after = old + population.differences(rng, -loss)
            judged = draw(rng, population, 0.0, population.gain, {f"{OLD} 1": (old, after)})
            if gate.decide(judged, policy, best={(f"{OLD} 1", STRUCTURE): best}).outcome is Outcome.PROMOTE:
                old, promoted = after, promoted + 1
                best = max(best, float(old.mean()))
        yield promoted


def _unlimited(policy: GatePolicy) -> GatePolicy:
    return policy.model_copy(update={"creep": 1.0})


def _decisive(decision: Decision) -> Iterator[Check]:
    """No-loss of the first old cell, which is the one that is harmed, and the gain on the new instrument."""
    for check in decision.checks:
        if check.name == "gain" or (check.name == "no-loss" and check.instrument == f"{OLD} 1"):
            yield check
