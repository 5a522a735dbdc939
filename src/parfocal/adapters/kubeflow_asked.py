"""Questions to a Kubernetes API server: what passes is asked again, what does not is said in this program's words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from parfocal.core.errors import OutsideServiceError, ParfocalError, UsageError

LIMITS = (10, 60)
"""Seconds to connect, and to wait for an answer."""
PATIENCE = 60.0
"""Seconds for which a question is asked again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PASSING = {408, 425, 429, 500, 502, 503, 504}
GONE = 410
_ROLE = "the account must be allowed to create, get, watch and delete trainjobs.trainer.kubeflow.org " \
    "(to patch, where one is suspended), and to list pods and get pods/log"  # fmt: skip
_RELEASE = "is Kubeflow Trainer 2.2 or newer?"
_ACCOUNT = "look at the pod's service account and its token, or log in again"
_LATER = "the same command goes on where it was"


class AbsentError(ParfocalError):
    """There is no such object: 404."""


class PresentError(ParfocalError):
    """There is one of this name, or it was changed meanwhile: 409."""


def asked(question: Callable[..., Any], *arguments: Any, patience: float | None = None, **options: Any) -> Any:
    """The answer to `question`, a method of the kubernetes client.

    A server that is busy (429, after the time that it asks for), in trouble (5xx), silent or away is asked again, with
    growing pauses, for `patience` seconds.

    Raises:
        AbsentError, PresentError: 404, 409.
        UsageError: 400, 403, 422: asked again it would say no again.
        OutsideServiceError: 401, or whatever else did not pass.
    """
    until = time.monotonic() + (PATIENCE if patience is None else patience)
    pause = FIRST_PAUSE
    while True:
        try:
            return question(*arguments, **options, _request_timeout=LIMITS)
        except Exception as error:
            wait = max(pause, _asked_for(error))
            if not passes(error) or time.monotonic() + wait > until:
                raise told(error) from error
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


def event_stream(question: Callable[..., Any], *arguments: Any, timeout_seconds: int, **options: Any) -> Iterator[Any]:
    """Objects of the events of one watch until it ends, which it may at any time and for any reason.

    An expired place to watch from (410), a broken connection and silence end it without a word: whoever watches asks
    for the object itself then. A deleted object ends it too.

    Raises:
        OutsideServiceError: 401.
    """
    from kubernetes import watch

    began = time.monotonic()
    limits = (LIMITS[0], timeout_seconds + LIMITS[0])
    try:
        stream = watch.Watch().stream(
            question, *arguments, **options, timeout_seconds=timeout_seconds, _request_timeout=limits
        )
        for event in stream:
            if event["type"] == "DELETED":
                return
            if event["type"] != "BOOKMARK":
                yield event["object"]
    except Exception as error:
        if getattr(error, "status", None) == 401:
            raise told(error) from error
        if not (passes(error) or getattr(error, "status", None) in (403, GONE) or isinstance(error, ValueError)):
            raise
    # One that ends at once, as where `watch` is not permitted, must not make a storm of questions.
    time.sleep(max(0.0, FIRST_PAUSE - (time.monotonic() - began)))


def passes(error: Exception) -> bool:
    """Whether the same question may be answered later."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        return error.status in PASSING
    return isinstance(error, HTTPError | OSError)


def told(error: Exception) -> Exception:
    """The server's no, or its silence, in this program's words; an error of ours as it is."""
    status = getattr(error, "status", None)
    said = message(error)
    known = {
        400: UsageError(f"the API server refuses it: {said}", next=_RELEASE),
        401: OutsideServiceError("the API server does not know this process: 401", next=_ACCOUNT),
        403: UsageError(f"the API server does not permit it: {said}", expected=_ROLE, next="apply manifests/trainjobs"),
        404: AbsentError(said),
        409: PresentError(said),
        422: UsageError(f"the API server refuses it: {said}", next=_RELEASE),
    }
    if status:
        return known.get(status) or OutsideServiceError(f"the API server answers {status}: {said}", next=_LATER)
    if passes(error):
        return OutsideServiceError(f"the API server cannot be asked: {type(error).__name__}: {said}", next=_LATER)
    return error


def message(error: Any) -> str:
    """What the server's Status says."""
    try:
        return str(json.loads(error.body)["message"])[:500]
    except (AttributeError, TypeError, ValueError, KeyError):
        return str(getattr(error, "reason", None) or error)[:500]


def _asked_for(error: Exception) -> float:
    """Seconds that the server asks to be left alone."""
    headers = getattr(error, "headers", None) or {}
    try:
        return min(float(headers.get("Retry-After", 0)), LONGEST_PAUSE)
    except ValueError:
        return 0.0
