"""The gate: may the challenger answer instead of the champion?

Cells are instrument x structure. All conditions in all cells must be met (an intersection-union test: each is tested
at the full level, no alpha is split). A broken condition refuses, and a refusal is final for this evaluation. What
cannot be said goes to a person. Backward transfer alone is never asked for: a model that learned nothing forgets
nothing, which is why the new instrument must gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from parfocal.core.scores import Evaluation
from parfocal.core.types import Check, Decision, Outcome
from parfocal.promotion import conditions
from parfocal.promotion.cells import Cell, cells, mean_dice
from parfocal.promotion.policy import GatePolicy

__all__ = ["Best", "GatePolicy", "decide", "refuse_moved", "take_over"]

Best = Mapping[tuple[str, str], float]
"""(instrument, structure) to the best mean Dice of any model ever promoted."""


def decide(evaluation: Evaluation, policy: GatePolicy, *, best: Best) -> Decision:
    """Hold an evaluation against the policy. Pure: the same evaluation gets the same decision.

    Without a champion (the first model) the floor, the constant mask, size, latency and agreement are asked for.
    Where a cell has too few patients, nothing that rests on an interval is said for or against the challenger; what
    is counted (floor, failures, and creep and rrp10 where chance cannot explain them) still refuses.

    Raises:
        DataContractError: the evaluation does not hold paired scores.
    """
    judged = cells(evaluation)
    checks = [check for cell in judged for check in _cell(cell, evaluation, policy, best)]
    checks += _absent(judged, evaluation, policy, best)
    checks += _whole(evaluation, policy)
    outcome = _worst(checks)
    return Decision(outcome, tuple(checks), _summary(outcome, checks, len(judged)))


def take_over(decision: Decision, by: str, reason: str) -> Decision:
    """A person answers for what the gate could not say. A refusal stays one: harm that was shown is not a matter of
    opinion, and whoever knows better changes the policy where others can read it, or evaluates again.
    """
    if decision.outcome is Outcome.INCONCLUSIVE:
        said = f"Promoted on the word of {by}: {reason.rstrip('.')}. The gate had said: {decision.reason}"
        return replace(decision, outcome=Outcome.PROMOTE, reason=said, approved_by=by, approval_reason=reason)
    if decision.outcome is Outcome.REFUSE:
        return replace(decision, reason=f"{decision.reason} {by} would have approved; a refusal cannot be approved.")
    return decision


def refuse_moved(evaluation: Evaluation, present: str | None) -> Decision:
    """The answer when the champion is not the one of the evaluation: the challenger was judged against the wrong rival.

    Args:
        present: checksum of the champion now; None when there is none.
    """
    if present == evaluation.challenger:
        reason = "The challenger is the champion already. There is nothing to decide."
    else:
        reason = (
            f"The challenger was judged against {_short(evaluation.champion)}, and the champion is {_short(present)} "
            "now. Evaluate again, against the present champion."
        )
    return Decision(Outcome.REFUSE, (), reason)


def _cell(cell: Cell, evaluation: Evaluation, policy: GatePolicy, best: Best) -> Iterator[Check]:
    new = cell.instrument == evaluation.new_instrument
    test = evaluation.tests.get(cell.instrument)
    yield conditions.size(cell, policy, test.uses if test else 0)
    if new or cell.champion is None:
        yield conditions.floor(cell, policy)
    if cell.champion is not None:
        yield (conditions.gain if new else conditions.no_loss)(cell, policy)
        yield conditions.rrp10(cell, policy)
        yield conditions.failures(cell, policy)
    known = [score for score in (best.get((cell.instrument, cell.structure)),) if score is not None]
    if cell.champion is not None and not new:
        known.append(mean_dice(cell.champion))
    if known:
        yield conditions.creep(cell, policy, max(known))
    yield conditions.constant_mask(cell, policy)


def _absent(judged: Sequence[Cell], evaluation: Evaluation, policy: GatePolicy, best: Best) -> Iterator[Check]:
    """Cells that should have been judged and were not: nothing can be said of them."""
    if all(cell.instrument != evaluation.new_instrument for cell in judged):
        reason = f"{evaluation.new_instrument} is the new instrument and has no labelled test case."
        yield Check(
            "size", evaluation.new_instrument, "", Outcome.INCONCLUSIVE, 0.0, float(policy.min_patients), reason
        )
    present = {(cell.instrument, cell.structure) for cell in judged}
    for (instrument, structure), score in sorted(best.items()):
        if (instrument, structure) not in present:
            reason = (
                f"The {structure} on {instrument} was judged for an earlier champion (best {score:.3f}) "
                "and has no test case in this evaluation, so nobody knows what became of it."
            )
            yield Check("size", instrument, structure, Outcome.INCONCLUSIVE, 0.0, float(policy.min_patients), reason)


def _whole(evaluation: Evaluation, policy: GatePolicy) -> Iterator[Check]:
    """Conditions on the whole bundle: the export is the network that was trained, and it is quick enough."""
    unsaid = {score.structure for score in evaluation.scores["challenger"]} - set(evaluation.agreement)
    for structure in sorted(unsaid):
        reason = f"Whether exported and trained network of the {structure} agree was not measured."
        yield Check("agreement", "", structure, Outcome.INCONCLUSIVE, 0.0, policy.agreement, reason)
    for structure, value in sorted(evaluation.agreement.items()):
        met = value >= policy.agreement
        said = f"agree to Dice {value:.4f}; {policy.agreement:g} is asked"
        reason = f"Exported and trained network of the {structure} {said}."
        yield Check("agreement", "", structure, _met(met), value, policy.agreement, reason)
    mine, rival = evaluation.latency_ms.get("challenger"), evaluation.latency_ms.get("champion")
    if mine is None:
        reason = "The latency of the challenger was not measured."
        yield Check("latency", "", "", Outcome.INCONCLUSIVE, 0.0, policy.latency_ms, reason)
        return
    limit = policy.latency_ms if rival is None else min(policy.latency_ms, policy.latency_ratio * rival)
    beside = "" if rival is None else f", {rival:.1f} with the champion"
    reason = f"One image takes {mine:.1f} ms{beside} (median); {limit:.1f} ms are allowed."
    yield Check("latency", "", "", _met(mine <= limit), mine, limit, reason)


def _met(met: bool) -> Outcome:
    return Outcome.PROMOTE if met else Outcome.REFUSE


def _worst(checks: Sequence[Check]) -> Outcome:
    found = {check.outcome for check in checks}
    return next((o for o in (Outcome.REFUSE, Outcome.INCONCLUSIVE) if o in found), Outcome.PROMOTE)


def _summary(outcome: Outcome, checks: Sequence[Check], number: int) -> str:
    short = [check.reason for check in checks if check.outcome is outcome]
    if outcome is Outcome.PROMOTE:
        return f"All {len(checks)} conditions on {number} cells are met."
    if outcome is Outcome.REFUSE:
        return f"{len(short)} of {len(checks)} conditions are broken. {short[0]}"
    return f"No harm is shown, and {len(short)} of {len(checks)} conditions cannot be said. {short[0]}"


def _short(checksum: str | None) -> str:
    return f"the bundle {checksum[:12]}" if checksum else "no champion"
