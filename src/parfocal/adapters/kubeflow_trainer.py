"""A step done by several nodes: submitted as a TrainJob, watched to its end, its words and its errors brought back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, NoReturn

from parfocal.adapters import kubeflow_lost
from parfocal.adapters.cluster_doctor import connect
from parfocal.adapters.kubeflow_jobs import SUSPENDED, Jobs, conditions, state
from parfocal.adapters.kubeflow_pods import Pods
from parfocal.adapters.kubeflow_trainjob import WORK, TrainJobSettings, check, described, folder, name
from parfocal.core import manifest
from parfocal.core.errors import OutsideServiceError, ParfocalError, UsageError
from parfocal.core.protocols import Reporter, Work
from parfocal.steps import elsewhere


class TrainJobExecutor:
    """`parfocal.core.protocols.Executor` by Kubeflow Trainer.

    Args:
        settings: default: from the environment.
        api: a `kubernetes.client.ApiClient`; default: of the pod's own account, or of kubeconfig.
    """

    def __init__(self, settings: TrainJobSettings | None = None, api: Any = None) -> None:
        self._settings = settings
        self._given = api

    @cached_property
    def settings(self) -> TrainJobSettings:
        """Read when they are needed: most steps are done where they are called."""
        return self._settings or TrainJobSettings()

    def execute(self, work: Work, reporter: Reporter) -> None:
        """Have `work` done by a TrainJob; one of the same key that is there already is watched on, or replaced when it
        has ended. A job that was done is deleted; one that failed stays to be looked at until the next attempt. One
        that lost a node is replaced by another, from the checkpoint, as often as the settings say.

        Raises:
            ParfocalError: the step's own error.
            UsageError: the cluster refuses the job, or one of this key does something else.
            OutsideServiceError: the job failed without a word of the step's, a node was lost too often, or the API
                server is away.
        """
        check(work, self.settings)
        jobs = Jobs(self._given or connect(), self.settings.namespace, name(work))
        wanted = described(work, self.settings)
        place = folder(work)
        place.mkdir(parents=True, exist_ok=True)
        with _ended(lambda: self._let_go(jobs)):
            for attempt in range(self.settings.retries + 1):
                if self._begin(jobs, wanted, reporter, lambda: self._prepare(work)):
                    reporter.note(f"TrainJob {jobs.namespace}/{jobs.name} of {work.nodes} nodes is asked for")
                else:
                    reporter.note(f"TrainJob {jobs.namespace}/{jobs.name} is there already and is watched on")
                with Pods(jobs.api, jobs.namespace, jobs.name, reporter) as pods:
                    lost = self._watch(jobs, work, pods)
                if not lost:
                    break
                self._wait(jobs, attempt, lost, pods, reporter)
        with suppress(ParfocalError):  # what was asked for is done
            jobs.delete()

    def _prepare(self, work: Work) -> None:
        elsewhere.forget(folder(work))
        manifest.write_atomic(folder(work) / "config.json", work.config)

    def _begin(self, jobs: Jobs, wanted: dict[str, Any], reporter: Reporter, prepare: Callable[[], None]) -> bool:
        """Create the job, or find the one that is under way; whether it was created."""
        found = jobs.find()
        if found is not None and not state(found) and "deletionTimestamp" not in found["metadata"]:
            digest = found["metadata"].get("annotations", {}).get(WORK)
            if digest != wanted["metadata"]["annotations"][WORK]:
                raise UsageError(
                    "a job of this key is doing something else",
                    where=f"trainjob {jobs.namespace}/{jobs.name}",
                    expected="the same folders, settings and image",
                    next="wait for it, delete it, or give another --key",
                )
            if found["metadata"].get("annotations", {}).get(SUSPENDED):
                jobs.resume()
            return False
        if found is not None:
            reporter.note(f"TrainJob {jobs.name} of an earlier attempt has ended and is replaced")
            jobs.delete(wait=True)
        prepare()
        if jobs.create(wanted):
            return True
        return self._begin(jobs, wanted, reporter, prepare)  # somebody was quicker

    def _watch(self, jobs: Jobs, work: Work, pods: Pods) -> str:
        """Return nothing when the job is complete; what was lost when another one may go on from the checkpoint.

        Raises:
            ParfocalError: it failed, or its step said what another attempt would say too.
        """
        for job in jobs.states():
            error = elsewhere.failure(folder(work))
            if state(job) == "Complete":
                return ""
            if state(job) == "Failed":
                pods.finish()
                error = elsewhere.failure(folder(work))
                lost = kubeflow_lost.lost(job, error, pods.taken(), pods.last())
                return lost or self._raise(jobs, job, error, pods)
            if error is not None and error.exit_code in elsewhere.FINAL:
                pods.finish()
                jobs.delete()
                raise error
        raise AssertionError("jobs are watched until something is raised")

    def _wait(self, jobs: Jobs, attempt: int, lost: str, pods: Pods, reporter: Reporter) -> None:
        """Give the cluster time to bring another node.

        Raises:
            OutsideServiceError: it had been the last attempt.
        """
        if attempt == self.settings.retries:
            raise OutsideServiceError(
                f"the TrainJob lost a node, {attempt + 1} times in a row; the last time {lost}",
                where=f"trainjob {jobs.namespace}/{jobs.name}",
                expected="\n    ".join(
                    ("nodes that stay until the next checkpoint; the pods said last:", *pods.last())
                ),
                next="the same step goes on from its checkpoint; nodes that are not spot, or PARFOCAL_TRAINJOB_RETRIES",
            )
        pause = kubeflow_lost.BACKOFF_SECONDS * 2**attempt
        left = self.settings.retries - attempt
        reporter.note(f"{lost}; another job goes on from the checkpoint in {pause:g} s, {left} may be lost")
        time.sleep(pause)

    def _raise(self, jobs: Jobs, job: dict[str, Any], error: ParfocalError | None, pods: Pods) -> NoReturn:
        if error is not None:
            raise error
        said = next((one for one in conditions(job) if one["type"] == "Failed"), {})
        raise OutsideServiceError(
            f"the TrainJob failed: {said.get('reason', '')} {said.get('message', '')}".strip(),
            where=f"trainjob {jobs.namespace}/{jobs.name}",
            expected="\n    ".join(("pods that end well; they said last:", *pods.last())),
            next=f"kubectl -n {jobs.namespace} describe trainjob {jobs.name}; the same step goes on from a checkpoint",
        )

    def _let_go(self, jobs: Jobs) -> None:
        if self.settings.ended == "delete":
            jobs.delete()
        elif self.settings.ended == "suspend":
            jobs.suspend()


@contextmanager
def _ended(let_go: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, SIGTERM ends this process as an exception does, and both let go of the job first."""

    def end(number: int, frame: object) -> NoReturn:  # noqa: ARG001
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, end) if main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        with suppress(ParfocalError):
            let_go()
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
