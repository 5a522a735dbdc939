"""What a no of a Kubeflow Pipelines API means, in this program's words, and how long it is asked again."""

from __future__ import annotations

import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from parfocal.client.retry import retry_after
from parfocal.core.errors import OutsideServiceError, ParfocalError, UsageError

Made = TypeVar("Made")
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses with which the same question may be answered later."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
_HOST = "look at PARFOCAL_KFP_HOST and at the way there, then send the same again"
_LATER = "send the same again later: what has arrived is found by its name, and nothing is started twice"
_ACCOUNT = (
    "set PARFOCAL_KFP_TOKEN or PARFOCAL_KFP_TOKEN_FILE, and PARFOCAL_KFP_NAMESPACE to a namespace where that account "
    "may run pipelines"
)


class BusyError(OutsideServiceError):
    """The API may answer later. `after`: seconds for which it asks to be left alone; None where it says nothing."""

    after: float | None = None


class RefusedError(UsageError):
    """The API said no, and asked again it would say no again.

    Attributes:
        status: of HTTP.
        said: the API's own sentence; empty where something before it answered, such as a proxy.
    """

    def __init__(self, status: int, said: str, what: str, *, where: object = "", next: str = "") -> None:
        super().__init__(what, where=where, next=next)
        self.status, self.said = status, said


@contextmanager
def asked(where: str) -> Iterator[None]:
    """Kubeflow's errors in this program's words; its chatter kept from standard output.

    Raises:
        BusyError: it is busy, in trouble, silent, or broke off.
        RefusedError: 400, 403, 404, 409 and whatever else will not pass.
        OutsideServiceError: it cannot be reached, does not know us (401), or something else answers in its place.
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        raise _told(error, where) from None
    except (HTTPError, OSError) as error:
        kind = OutsideServiceError if _absent(error) else BusyError
        raise kind(f"Kubeflow Pipelines cannot be reached: {error}", where=where, next=_HOST) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutsideServiceError(
            f"the answer is not from a Kubeflow Pipelines API: {error}", where=where, next="look at PARFOCAL_KFP_HOST"
        ) from None


@contextmanager
def needed(what: str, *, next: str) -> Iterator[None]:
    """`what` is not there and is made now; an account that may not (403) is told what is missing, and what helps."""
    from kfp_server_api import ApiException

    try:
        yield
    except ApiException as error:
        if error.status != 403:
            raise
        said = sentence(error.body)
        refusal = f"{what} is not at Kubeflow, and this account may not put it there: 403 {said or error.reason}"
        raise RefusedError(403, said, refusal, next=next) from None


def patiently(act: Callable[[], Made], patience: float) -> Made:
    """What `act` returns, which is done anew for `patience` seconds while the API is busy.

    Doing it twice must be doing it once. A conflict (409) says that somebody made the same thing at this moment: the
    next go finds it; a second conflict is none of that kind.
    """
    until, pause, conflict = time.monotonic() + patience, FIRST_PAUSE, False
    while True:
        try:
            return act()
        except RefusedError as error:
            if error.status != 409 or conflict:
                raise
            conflict = True
            continue
        except BusyError as error:
            wait = max(pause, error.after or 0.0)
            if time.monotonic() + wait > until:
                raise
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


def sentence(body: Any) -> str:
    """The API's own sentence in its answer; empty for an answer that is not the API's."""
    try:
        return str(json.loads(body)["message"])[:500]
    except (TypeError, ValueError, KeyError):
        return ""


def _told(error: Any, where: str) -> ParfocalError:
    said = sentence(error.body)
    text = f"{error.status} {error.reason}: {said or ' '.join(str(error.body or '').split())[:200]}".rstrip(": ")
    if error.status == 401:
        return OutsideServiceError(f"Kubeflow Pipelines does not know us: {text}", where=where, next=_ACCOUNT)
    if error.status == 403:
        return RefusedError(403, said, f"Kubeflow Pipelines does not let us: {text}", where=where, next=_ACCOUNT)
    if error.status in PASSING:
        busy = BusyError(f"Kubeflow Pipelines answered {text}", where=where, next=_LATER)
        busy.after = retry_after((error.headers or {}).get("Retry-After"))
        return busy
    if error.status and error.status >= 400:
        advice = "look at PARFOCAL_KFP_HOST" if not said else "mend what it says, then send the same again"
        return RefusedError(error.status, said, f"Kubeflow Pipelines refuses: {text}", where=where, next=advice)
    return OutsideServiceError(f"Kubeflow Pipelines cannot be asked: {text}", where=where, next=_HOST)


def _absent(error: BaseException) -> bool:
    """Whether nobody was there at all: a wrong address or certificate, which a minute's patience does not mend."""
    from urllib3.exceptions import NewConnectionError, SSLError

    return isinstance(getattr(error, "reason", error), NewConnectionError | SSLError)
