"""The way back: an earlier champion answers again, and who answered when."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.protocols import Ledger, ModelStore, ModelVersion
from parfocal.promotion import champion as moves
from parfocal.promotion.champion import Reign, begin_rollback, complete, reconcile, standing
from parfocal.promotion.ledger import ROLLBACK


def rollback(
    store: ModelStore, ledger: Ledger, task: str, to: str | None = None, *, by: str, reason: str
) -> ModelVersion:
    """Make an earlier champion answer again; by default the one before the present.

    The target is fetched and verified before anything moves. The same words a second time in a row are the same
    command, finished if it was killed, and not a second step back; for that give another reason, or `to`.

    Returns:
        The version that answers now.

    Raises:
        UsageError: no name, no reason, or no such earlier champion.
        DataContractError: the target's files are not whole; the alias stays where it is.
    """
    if not by.strip() or not reason.strip():
        raise UsageError("a rollback needs a name and a reason", next="say who rolls back and why; both are kept")
    reconcile(ledger, store, task)
    last = standing(ledger.entries(task)).entry
    asked = {"requested": to or "", "by": by, "reason": reason}
    if last is None or last.kind != ROLLBACK or any(last.body.get(name) != value for name, value in asked.items()):
        started = begin_rollback(store, ledger, task, to=to, by=by, reason=reason, check=_sound)
        if standing(ledger.entries(task)).pending != started:
            raise OutsideServiceError(
                f"the champion of {task} is being moved by another command", next="look at the history, then try again"
            )
        complete(ledger, store, started)
    version = store.get(task, moves.CHAMPION)
    assert version is not None
    return version


def history(ledger: Ledger, task: str) -> tuple[Reign, ...]:
    """Which version of a task answered when, on whose word and on what evidence, oldest first."""
    return moves.history(ledger.entries(task))


def _sound(store: ModelStore, task: str, version: str) -> None:
    with TemporaryDirectory(prefix="parfocal-") as folder:
        store.fetch(task, version, Path(folder))
