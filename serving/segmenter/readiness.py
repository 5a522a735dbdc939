"""Whether a worker answers, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.worker import Worker


def no_champion(worker: Worker) -> RequestError:
    """Why nothing can answer yet: status 503."""
    rejected = worker.champions.rejected
    return RequestError(
        503,
        f"version {rejected.version} cannot answer" if rejected else "there is no champion yet",
        where=f"task {worker.settings.task}",
        expected="a model under the alias `champion`",
        next="see /readyz and the log" if rejected else "train and promote a model, and keep the follower up",
    )


def of_all(workers: Sequence[Worker], ending: bool) -> dict[str, Any]:
    """What /readyz says: of the first task, and of the others in `others`. Ready is who can answer for any of them."""
    first, *others = map(detail, workers)
    ready = not ending and any(one["ready"] for one in (first, *others))
    return {**first, "ready": ready, "ending": ending, **({"others": others} if others else {})}


def detail(worker: Worker) -> dict[str, Any]:
    """What can be said of one task."""
    current, rejected = worker.champions.current, worker.champions.rejected
    slot, sender, clicks = worker.outbox.slot, worker.sender, worker.clicks
    return {
        "ready": current is not None,
        "task": worker.settings.task,
        "champion": current
        and {"version": current.version, "checksum": current.checksum, "drift": bool(current.reference_id)},
        "rejected": rejected
        and {"version": rejected.version, "checksum": rejected.checksum, "reason": rejected.reason},
        **_challenger(worker),
        "clicks": {"ready": clicks.current is not None, "trouble": clicks.trouble} if clicks.named else None,
        "outbox": {
            "pending": slot.pending if slot else 0,
            "dropping": worker.outbox.trouble,
            "sending": sender is not None,
            "monitor": sender.trouble if sender else "PARFOCAL_MONITOR_URL is empty: nothing is sent",
        },
    }


def _challenger(worker: Worker) -> dict[str, Any]:
    if worker.challenger is None:
        return {}
    current, rejected = worker.challenger.models.current, worker.challenger.models.rejected
    return {
        "challenger": current and {"version": current.version, "checksum": current.checksum},
        "challenger_rejected": rejected and {"version": rejected.version, "reason": rejected.reason},
    }
