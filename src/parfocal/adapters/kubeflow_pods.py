"""The pods of a job while it runs: what they write, line by line, and why one of them waits or has died."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from parfocal.adapters.kubeflow_asked import LIMITS, message, passes
from parfocal.adapters.kubeflow_lost import taken
from parfocal.adapters.kubeflow_trainjob import CONTAINER
from parfocal.core.protocols import Reporter

LABEL = "jobset.sigs.k8s.io/jobset-name"
INDEX = "batch.kubernetes.io/job-completion-index"
LOOK_SECONDS = 5.0
LAST_SECONDS = 5.0
"""A job that has ended is given so long for the last lines of its pods."""
SILENT_SECONDS = 600.0
"""A pod that writes nothing for so long is asked again."""
LAST = 15
"""Lines of a pod that are kept for the error's message."""
FOLLOWED = 32
"""Pods whose lines are read; every process but the first is silent while all is well."""


class Pods:
    """Follows a job's pods while the block lasts. Trouble in following is no trouble of the job's.

    Lines of the step's own are told to `reporter` as the step would have told them, others with the node's number.
    """

    def __init__(self, api: Any, namespace: str, job: str, reporter: Reporter) -> None:
        from kubernetes import client

        self._core = client.CoreV1Api(api)
        self._namespace, self._selector, self._reporter = namespace, f"{LABEL}={job}", reporter
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._lines: dict[str, deque[str]] = {}
        self._reasons: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._looking = threading.Thread(target=self._look, name="pods", daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Read what is left and stop."""
        if not self._stop.is_set():
            with suppress(Exception):
                self._see()
        self._stop.set()
        until = time.monotonic() + LAST_SECONDS
        for thread in (self._looking, *self._threads.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def last(self) -> list[str]:
        """Why pods died or wait, and their last lines, each with its node."""
        with self._lock:
            reasons = [f"[{pod}] {reason}" for pod, reason in self._reasons.items()]
            return reasons + [f"[{pod}] {line}" for pod, lines in self._lines.items() for line in lines]

    def taken(self) -> list[str]:
        """Pods that Kubernetes took away, by whom and why; those that are gone by now too."""
        with self._lock:
            return list(self._taken.values())

    def _look(self) -> None:
        while not self._stop.is_set():
            with suppress(Exception):  # asked again in a moment
                self._see()
            self._stop.wait(LOOK_SECONDS)

    def _see(self) -> None:
        """List the pods, follow those that are new, and say why one waits."""
        answer = self._core.list_namespaced_pod(
            self._namespace, label_selector=self._selector, _preload_content=False, _request_timeout=LIMITS
        )
        for pod in json.loads(answer.data)["items"]:
            found = pod["metadata"]["name"]
            reason = why(pod)
            with self._lock:
                changed = reason != self._reasons.get(found, "")
                self._reasons[found] = reason
                if not reason:
                    del self._reasons[found]
                if by := taken(pod):
                    self._taken[found] = f"{node(pod)} was taken: {by}"
            if changed and reason:
                self._reporter.note(f"[{node(pod)}] {reason}")
            if pod["status"].get("phase") in ("Running", "Succeeded", "Failed"):
                self._follow(found, node(pod))

    def _follow(self, pod: str, node: str) -> None:
        with self._lock:  # `finish` looks too, perhaps at the same time
            if pod in self._threads or len(self._threads) >= FOLLOWED:
                return
            self._lines[pod] = deque(maxlen=LAST)
            self._threads[pod] = threading.Thread(target=self._read, args=(pod, node), name=pod, daemon=True)
            self._threads[pod].start()

    def _read(self, pod: str, node: str) -> None:
        """Tell a pod's lines until it has written its last; a connection that breaks is made again."""
        seen = ""
        while True:
            before = seen
            try:
                answer = self._core.read_namespaced_pod_log(
                    pod, self._namespace, container=CONTAINER, follow=True, timestamps=True,
                    _preload_content=False, _request_timeout=(LIMITS[0], SILENT_SECONDS),
                )  # fmt: skip
                for stamp, line in _stamped(answer):
                    if stamp > before:  # after a break the server begins at the beginning
                        self._tell(pod, node, line)
                    seen = max(seen, stamp)
                return
            except Exception as error:
                if not passes(error):
                    with self._lock:
                        self._lines[pod].append(f"(its log cannot be read: {message(error)})")
                    return
            if self._stop.wait(LOOK_SECONDS):
                return

    def _tell(self, pod: str, node: str, line: str) -> None:
        with self._lock:
            self._lines[pod].append(line)
            try:
                values = json.loads(line)
            except ValueError:
                values = None
            if isinstance(values, dict) and {"stage", "step"} <= values.keys():
                stage, step = str(values.pop("stage")), int(values.pop("step"))
                self._reporter.epoch(stage, step, values)
            elif isinstance(values, dict) and values.keys() == {"note"}:
                self._reporter.note(str(values["note"]))
            else:
                self._reporter.note(f"[{node}] {line}")


def node(pod: dict[str, Any]) -> str:
    """What people call it."""
    metadata = pod["metadata"]
    index = {**metadata.get("labels", {}), **metadata.get("annotations", {})}.get(INDEX)
    return f"node {index}" if index is not None else str(metadata["name"])


def why(pod: dict[str, Any]) -> str:
    """Why a pod waits or has died; empty while there is nothing to say."""
    status = pod["status"]
    if by := taken(pod):
        return by
    if status.get("reason"):
        return f"{status['reason']}: {status.get('message', '')}"
    for one in status.get("containerStatuses", []):
        waiting, ended = (one.get("state", {}).get(kind) or {} for kind in ("waiting", "terminated"))
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{waiting['reason']}: {waiting.get('message', '')}"
        if ended.get("exitCode"):
            return f"{ended.get('reason', 'Error')}: exit code {ended['exitCode']}"
    for one in status.get("conditions", []):
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"{one.get('reason', '')}: {one.get('message', '')}"
    return ""


def _stamped(answer: Any) -> Any:
    """Whole lines with the time that the kubelet wrote before each."""
    rest = b""
    for chunk in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            stamp, _, text = line.decode("utf-8", "replace").partition(" ")
            yield stamp, text
    if rest:
        stamp, _, text = rest.decode("utf-8", "replace").partition(" ")
        yield stamp, text
