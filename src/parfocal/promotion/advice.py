"""What to change when the gate did not say yes: a sentence a condition, for the person who has to do it."""

from __future__ import annotations

from collections.abc import Mapping

from parfocal.core.types import Check, Outcome

REFUSED: Mapping[str, str] = {
    "gain": "Nothing useful was learned of {instrument}: label more training cases of it or train longer "
    "(retrain.train.steps). If it is good enough as it is, keep the champion.",
    "no-loss": "It forgot {cell}: keep more of its cases (retrain.exemplars), or take a strategy that keeps more "
    "(retrain.strategy), then retrain.",
    "creep": "Several small losses have added up in {cell}: go back to the model that was best there "
    "(parfocal registry rollback --to), and retrain from it with more exemplars (retrain.exemplars).",
    "rrp10": "Fewer radii of {cell} are right than before: look at these cases in the report, and whether masks of the "
    "new instrument are drawn to another rule.",
    "failures": "New failures in {cell}: look at them in the report; label cases like them for training.",
    "floor": "{cell} is not of use yet: label more training cases or train longer (retrain.train.steps).",
    "constant-mask": "{cell} does no better than one mask for every image: look whether its images and masks belong "
    "together, and whether the framing (recipe) suits the instrument.",
    "latency": "It is too slow here: look at the machine's load and the runtime that was scored, export again, or set "
    "gate.latency_ms to what your readers can wait for.",
    "agreement": "The export of the {structure} is not the network that was trained: export again with the versions of "
    "constraints.txt.",
}
"""Broken conditions. No approval lifts these; a changed policy does, where everybody can read it."""

UNSAID: Mapping[str, str] = {
    "size": "Label test patients of {instrument}: {missing} more, drawn at random.",
    "gain": "More test patients of {instrument} would narrow the interval.",
    "no-loss": "More test patients of {instrument} would tell; the condition names the number that suffices.",
    "constant-mask": "More test patients of {instrument} would tell.",
    "creep": "{cell} is below the best ever, perhaps by chance: more test patients of {instrument} would tell, and a "
    "retrain with more exemplars (retrain.exemplars) would mend it.",
    "rrp10": "Look in the report whether the mean radius of {cell} has moved, and at the cases that left the 10 %: "
    "more test patients of {instrument} would tell whether it is chance.",
    "latency": "Evaluate again with evaluate.latency_images above 0.",
    "agreement": "Export and evaluate again, so that the agreement of the {structure} is measured.",
}
"""What cannot be said. A person may also answer for it: promote --approve NAME --reason TEXT."""


def advice(check: Check) -> str:
    """What to do about a condition; empty when it is met."""
    if check.outcome is Outcome.PROMOTE:
        return ""
    known = REFUSED if check.outcome is Outcome.REFUSE else UNSAID
    missing = max(0, round(check.limit - check.value))
    cell = " on ".join(filter(None, (check.structure, check.instrument)))
    text = known[check.name].format(
        instrument=check.instrument, structure=check.structure, cell=f"the {cell}" if check.structure else cell,
        missing=missing,
    )  # fmt: skip
    return text[0].upper() + text[1:]
