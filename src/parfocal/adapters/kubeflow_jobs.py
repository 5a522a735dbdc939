"""TrainJobs by the kubernetes client: one by its name, and what its conditions say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from parfocal.adapters.kubeflow_asked import AbsentError, PresentError, asked, event_stream
from parfocal.adapters.kubeflow_trainjob import GROUP, PLURAL, VERSION
from parfocal.core.errors import OutsideServiceError, UsageError

WATCH_SECONDS = 30
"""Of one watch; after it the job is asked for itself, so that no lost event is waited for longer."""
PATIENCE_SECONDS = 900
"""How long the API server may be away while a job, which needs it as little as the step does, trains on."""
GONE_SECONDS = 300
"""How long a deleted job may take to be gone: its pods are given time to end."""
SUSPENDED = "parfocal.dev/suspended"
"""Annotation of a job that a step has suspended. One that a queue holds back is none of ours to resume."""


class Jobs:
    """One TrainJob by its name, there or not."""

    def __init__(self, api: Any, namespace: str, job: str) -> None:
        from kubernetes import client

        self.api, self.namespace, self.name = api, namespace, job
        self._objects = client.CustomObjectsApi(api)
        self._kind = (GROUP, VERSION, namespace, PLURAL)

    def find(self) -> dict[str, Any] | None:
        """The job, None when there is none."""
        try:
            found: dict[str, Any] = asked(
                self._objects.get_namespaced_custom_object, *self._kind, self.name, patience=PATIENCE_SECONDS
            )
        except AbsentError:
            return None
        return found

    def create(self, wanted: dict[str, Any]) -> bool:
        """Whether it was made; not where one of this name is there."""
        try:
            asked(self._objects.create_namespaced_custom_object, *self._kind, wanted)
        except PresentError:
            return False
        except AbsentError:
            raise UsageError(
                "this cluster knows no TrainJob",
                where=f"{PLURAL}.{GROUP}/{VERSION}",
                expected="Kubeflow Trainer 2.2 or newer",
                next="parfocal doctor --cluster",
            ) from None
        return True

    def delete(self, *, wait: bool = False) -> None:
        """Delete it and, on request, wait until it is gone.

        Raises:
            OutsideServiceError: it is still there after five minutes.
        """
        with suppress(AbsentError):
            asked(
                self._objects.delete_namespaced_custom_object, *self._kind, self.name, propagation_policy="Foreground"
            )
        until = time.monotonic() + GONE_SECONDS
        while wait and self.find() is not None:
            if time.monotonic() > until:
                raise OutsideServiceError(
                    "the job of an earlier attempt is not gone",
                    where=f"trainjob {self.namespace}/{self.name}",
                    expected=f"its pods to end within {GONE_SECONDS} s; one on a node that is dead ends with the node",
                    next=f"kubectl -n {self.namespace} get pods -o wide; delete that node, or the pod with --force",
                )
            time.sleep(1)

    def suspend(self) -> None:
        """End its pods and keep the job."""
        self._patch({"metadata": {"annotations": {SUSPENDED: "true"}}, "spec": {"suspend": True}})

    def resume(self) -> None:
        """Undo `suspend`."""
        self._patch({"metadata": {"annotations": {SUSPENDED: None}}, "spec": {"suspend": False}})

    def states(self) -> Iterator[dict[str, Any]]:
        """The job as it is, again and again: at every event, and whenever a watch has ended or failed.

        What counts is what the server answers when asked for the job; a watch only makes the wait for it shorter.

        Raises:
            OutsideServiceError: somebody deleted it.
        """
        while True:
            job = self.find()
            if job is None:
                raise OutsideServiceError(
                    "the TrainJob was deleted",
                    where=f"trainjob {self.namespace}/{self.name}",
                    next="the same step starts it anew from its checkpoint",
                )
            yield job
            yield from event_stream(
                self._objects.list_namespaced_custom_object,
                *self._kind,
                field_selector=f"metadata.name={self.name}",
                resource_version=job["metadata"].get("resourceVersion", ""),
                timeout_seconds=WATCH_SECONDS,
            )

    def _patch(self, change: dict[str, Any]) -> None:
        with suppress(AbsentError):
            asked(self._objects.patch_namespaced_custom_object, *self._kind, self.name, change)


def conditions(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that hold."""
    return [one for one in job.get("status", {}).get("conditions", []) if one.get("status") == "True"]


def state(job: dict[str, Any]) -> str:
    """``Complete`` or ``Failed``; empty before that."""
    return next((one["type"] for one in conditions(job) if one["type"] in ("Complete", "Failed")), "")
