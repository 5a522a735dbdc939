"""The workers of this process, which of them a request is for, and how every answer that is none is said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ClassVar

from parfocal_serving.segmenter import forms
from parfocal_serving.segmenter.pressure import Pressure
from parfocal_serving.segmenter.problems import RequestError, body
from parfocal_serving.segmenter.worker import Worker
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

logger = logging.getLogger("parfocal.segmenter")


class Running:
    """The worker of this process, known from the moment BentoML makes the service.

    Attributes:
        worker: of the first task, and of every request that names none.
        others: of further tasks, by name.
        requests: that are being answered.
    """

    worker: Worker
    others: ClassVar[dict[str, Worker]] = {}
    requests = 0

    @classmethod
    def all(cls) -> tuple[Worker, ...]:
        return cls.worker, *cls.others.values()

    @classmethod
    def of(cls, task: str) -> Worker:
        """Who answers for a task; the first where none is named.

        Raises:
            RequestError: nobody here does.
        """
        if task in ("", cls.worker.settings.task):
            return cls.worker
        if task not in cls.others:
            known = ", ".join(one.settings.task for one in cls.all())
            raise RequestError(400, f"no such task here: {task[:40]}", where="task", expected=f"one of {known}")
        return cls.others[task]


async def guarded(work: Callable[[], Awaitable[Response]], pressure: Pressure) -> Response:
    """The answer within its time. Every one but 200 says what, where, expected, next."""
    worker = Running.worker
    Running.requests += 1
    try:
        async with asyncio.timeout(worker.settings.timeout):
            return await work()
    except RequestError as error:
        return _problem(error, pressure)
    except TimeoutError:
        late = RequestError(504, f"no answer within {worker.settings.timeout:g} s", next="try again")
        return _problem(late, pressure)
    except ClientDisconnect:
        return _problem(RequestError(400, "the upload was broken off"), pressure)
    except Exception:
        logger.exception("a request failed")
        return _problem(RequestError(500, "the segmenter failed", next="see its log: this is a bug"), pressure)
    finally:
        Running.requests -= 1


def asked_task(request: Request) -> str:
    return request.query_params.get("task", "").strip()


def of_form(request: Request, form: forms.Form) -> Worker:
    """Who answers, by the address or by the form; both may not name different tasks."""
    asked, given = asked_task(request), forms.name(form, "task") or ""
    if asked and given and asked != given:
        raise RequestError(400, "two different tasks", where="task", expected="the same in the address and in the form")
    return Running.of(given or asked)


def _problem(error: RequestError, pressure: Pressure) -> Response:
    headers = {}
    if error.status in (429, 503, 504):
        headers["Retry-After"] = str(pressure.retry_after())
    if error.status == 408:
        headers["Connection"] = "close"  # or it would go on sending for ever
    return JSONResponse(body(error), error.status, headers)
