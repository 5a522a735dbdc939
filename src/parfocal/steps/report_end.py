"""A pipeline has ended: one entry of the ledger, whoever started it and however it went."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from parfocal.core.errors import UsageError
from parfocal.core.protocols import Ledger, LedgerEntry
from parfocal.steps.config import RunConfig

RUN_ENDED = "run-ended"
UNKNOWN = "unknown"
STATES = {
    "SUCCEEDED": "succeeded", "COMPLETE": "succeeded", "CANCELLED": "cancelled", "CANCELED": "cancelled",
    "RUNNING": UNKNOWN,
}  # fmt: skip
"""Kubeflow's words in those of `parfocal.core.protocols.Launcher`; all others are a failure.

Steps with a loop or a branch are `RUNNING` to some versions of Kubeflow Pipelines when all of them have ended
(kubeflow/pipelines#11979, #13321).
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a pipeline's steps ended.

    Attributes:
        pipeline: its name.
        key: idempotency key.
        state: Kubeflow's word, such as ``SUCCEEDED`` or ``FAILED``.
        job: Kubeflow's name of the run.
        error: what failed, as far as Kubeflow says.
    """

    pipeline: str
    key: str
    state: str
    job: str
    error: str = ""


def run(ended: Ended, config: str, *, ledger: Ledger, task: str) -> LedgerEntry:
    """Append the entry; the same end of the same run a second time changes nothing.

    Args:
        config: JSON of the run's configuration.
        task: to write it under where `config` cannot be read, which is why that run failed.
    """
    with suppress(UsageError):
        task = RunConfig.from_json(config).task
    state = STATES.get(ended.state, "failed")
    body = {
        "pipeline": ended.pipeline,
        "key": ended.key,
        "state": state,
        "run": ended.job,
        "error": "" if state == "succeeded" else ended.error,
    }
    return ledger.append(RUN_ENDED, task, f"{ended.key}:{ended.job}:{state}", body)
