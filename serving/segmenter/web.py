"""POST /segment and the detail of /readyz, as plain ASGI under BentoML.

BentoML's own file inputs are not used: they fetch an address from the network when the field `image` is a text, write
uploads to a temporary file, and answer errors as a list or without their reason. All else is BentoML's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from parfocal_serving.segmenter import metrics
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.problems import RequestError, body
from parfocal_serving.segmenter.worker import Answer, Worker
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from parfocal.core.observations import LONGEST

logger = logging.getLogger("parfocal.segmenter")

FIELD = 4096
"""Bytes of the longest text field that is read at all."""


class Running:
    """The worker of this process, known from the moment BentoML makes the service."""

    worker: Worker
    requests = 0


async def segment(request: Request) -> Response:
    """Answer a photograph. Every outcome is counted; every one but 200 says what, where, expected, next."""
    began = time.perf_counter()
    worker = Running.worker
    task, champion = worker.settings.task, worker.champions.current
    Running.requests += 1
    try:
        async with asyncio.timeout(worker.settings.timeout):
            answer = await _answer(request, worker, champion, began)
        later = BackgroundTask(_afterwards, worker, answer.after) if answer.after else None
        response = Response(answer.body, media_type="application/json", background=later)
    except RequestError as error:
        response = _problem(error)
    except TimeoutError:
        response = _problem(RequestError(504, f"no answer within {worker.settings.timeout:g} s", next="try again"))
    except ClientDisconnect:
        response = _problem(RequestError(400, "the upload was broken off"))
    except Exception:
        logger.exception("a request failed")
        response = _problem(RequestError(500, "the segmenter failed", next="see its log: this is a bug"))
    finally:
        Running.requests -= 1
    metrics.REQUESTS.labels(task, champion.version if champion else "", str(response.status_code)).inc()
    metrics.REQUEST_SECONDS.labels(task).observe(time.perf_counter() - began)
    return response


async def _afterwards(worker: Worker, work: Callable[[], None]) -> None:
    """Begun when the answer has been handed over, and not waited for."""
    with suppress(RuntimeError):  # the worker is being stopped: what was accepted is kept as it is
        worker.pool.submit(work)


async def _answer(request: Request, worker: Worker, champion: Champion | None, began: float) -> Answer:
    if champion is None:  # nobody's upload is read
        raise worker.no_champion()
    if Running.requests > worker.settings.concurrency:
        raise RequestError(
            429, "too many requests at once", expected=f"at most {worker.settings.concurrency}", next="try again"
        )
    data, instrument, patient = await _read(request, worker.settings.upload_bytes)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(worker.pool, worker.segment, champion, data, instrument, patient, began)


async def _read(request: Request, most: int) -> tuple[bytes, str | None, str | None]:
    """The photograph's bytes, and the instrument and the patient if they were named."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(415, "the request is no form", expected="multipart/form-data with the file field `image`")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    parser = MultiPartParser(request.headers, _limited(request, most), max_files=1, max_fields=8, max_part_size=FIELD)
    parser.spool_max_size = most + 1  # a patient's photograph is never written to a temporary file
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(400, error.message, expected="multipart/form-data with one file") from None
    upload = form.get("image")
    if not isinstance(upload, UploadFile):
        raise RequestError(400, "the photograph is missing", where="image", expected="a JPEG or PNG file")
    return await upload.read(), _name(form.get("instrument"), "instrument"), _name(form.get("patient"), "patient")


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes, until it is too much: not every client says a length, and not every one says the truth."""
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > most:
            raise _too_large(most)
        yield chunk


def _name(value: str | UploadFile | None, field: str) -> str | None:
    """A name as it was given, without space round it; None for an empty one."""
    if isinstance(value, UploadFile):
        raise RequestError(400, "a file where a text belongs", where=field)
    name = (value or "").strip()
    if len(name) > LONGEST or not name.isprintable():
        raise RequestError(
            400, "this name cannot be kept", where=field, expected=f"at most {LONGEST} printable characters"
        )
    return name or None


def _too_large(most: int) -> RequestError:
    return RequestError(
        413,
        "the upload is too large",
        expected=f"at most {most / 1e6:g} MB",
        next="send a JPEG, or raise PARFOCAL_SEGMENTER_UPLOAD_MB",
    )


def _problem(error: RequestError) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503, 504) else None
    return JSONResponse(body(error), error.status, headers)


class Readiness:
    """Middleware that answers /readyz with its reasons; BentoML's own says yes or no alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self.app(scope, receive, send)
            return
        detail: dict[str, Any] = Running.worker.readiness()
        await JSONResponse(detail, 200 if detail["ready"] else 503)(scope, receive, send)


app = Starlette(routes=[Route("/segment", segment, methods=["POST"])])
