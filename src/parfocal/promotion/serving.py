"""Whether the service that answers pictures can answer with a bundle, and when one may be champion that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parfocal.core.bundle import Bundle
from parfocal.core.errors import UsageError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.champion import standing
from parfocal.promotion.ledger import PROMOTION_STARTED
from parfocal.promotion.policy import GatePolicy


def refuse_unserved(model: Bundle, where: Path, entries: Sequence[LedgerEntry], policy: GatePolicy) -> None:
    """Refuse a champion that would leave the segmenter without one.

    A bundle that it cannot answer with may follow another such, and one that sees neighbouring slices may be a task's
    first: a volume is not asked for picture by picture. All else has to be said (`gate.unserved`).

    Args:
        model, where: the challenger.
        entries: of its task in the ledger.

    Raises:
        UsageError: the present champion answers pictures, or this one answers clicks and is the first.
    """
    if not model.unserved or policy.unserved:
        return
    present = standing(entries)
    if present.entry is not None and present.version:
        if unserved(entries, present.version):
            return
        what, other = f"version {present.version}, the champion of {model.task}, answers pictures", "does"
    elif model.stacked:
        return
    else:
        what, other = f"{model.task} has no champion yet", "can"
    raise UsageError(
        f"{what}, and the segmenter cannot answer with this bundle: {model.unserved}",
        where=where,
        expected=f"a bundle that answers one picture alone, as a champion of the segmenter {other}",
        next="serve it beside the champion (of clicks: PARFOCAL_CLICKS_MODEL=FOLDER), or, where no segmenter answers "
        "for this registry, --set gate.unserved=true",
    )


def unserved(entries: Sequence[LedgerEntry], version: str) -> str:
    """Why the segmenter cannot answer with a version, as its evidence says; empty when it can, or nothing is said."""
    for entry in reversed(entries):
        if entry.kind == PROMOTION_STARTED and str(entry.body["version"]) == version:
            model = entry.body["evidence"]["model"]
            clicked = ", ".join(model.get("clicked", ()))  # all that evidence said before there was `unserved`
            return str(model.get("unserved") or (clicked and f"its networks for {clicked} answer clicks"))
    return ""
