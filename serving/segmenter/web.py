"""The routes, and the detail of /readyz, as plain ASGI under BentoML.

BentoML's own file inputs are not used: they fetch an address from the network when the field `image` is a text, write
uploads to a temporary file, and answer errors as a list or without their reason. All else is BentoML's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from parfocal_serving.segmenter import forms, metrics, openapi, readiness
from parfocal_serving.segmenter import refine as refining
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.problems import RequestError, body
from parfocal_serving.segmenter.worker import Worker
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from parfocal.core.observations import LONGEST

logger = logging.getLogger("parfocal.segmenter")


class Running:
    """The worker of this process, known from the moment BentoML makes the service."""

    worker: Worker
    requests = 0


async def segment(request: Request) -> Response:
    """Answer a photograph, and count it."""
    began = time.perf_counter()
    task, champion = Running.worker.settings.task, Running.worker.champions.current
    response = await _guarded(partial(_segment, request, champion, began))
    metrics.REQUESTS.labels(task, champion.version if champion else "", str(response.status_code)).inc()
    metrics.REQUEST_SECONDS.labels(task).observe(time.perf_counter() - began)
    return response


async def refine(request: Request) -> Response:
    """Answer clicks."""
    return await _guarded(partial(_refine, request, time.perf_counter()))


async def instruments(request: Request) -> Response:
    """What the champion knows."""
    return await _guarded(partial(_instruments, request))


async def models(request: Request) -> Response:  # noqa: ARG001
    """Who answers."""
    return JSONResponse(Running.worker.catalog.models(Running.worker.champions.current))


async def document(request: Request) -> Response:  # noqa: ARG001
    """All this, for programs."""
    return JSONResponse(_document())


async def _guarded(work: Callable[[], Awaitable[Response]]) -> Response:
    """The answer within its time. Every one but 200 says what, where, expected, next."""
    worker = Running.worker
    Running.requests += 1
    try:
        async with asyncio.timeout(worker.settings.timeout):
            return await work()
    except RequestError as error:
        return _problem(error)
    except TimeoutError:
        return _problem(RequestError(504, f"no answer within {worker.settings.timeout:g} s", next="try again"))
    except ClientDisconnect:
        return _problem(RequestError(400, "the upload was broken off"))
    except Exception:
        logger.exception("a request failed")
        return _problem(RequestError(500, "the segmenter failed", next="see its log: this is a bug"))
    finally:
        Running.requests -= 1


async def _segment(request: Request, champion: Champion | None, began: float) -> Response:
    worker = Running.worker
    if champion is None:  # nobody's upload is read
        raise readiness.no_champion(worker)
    _refuse_crowd(worker)
    form = await forms.read(request, worker.settings.upload_bytes, ("image",))
    work = partial(
        worker.segment, champion, forms.image(form), forms.name(form, "instrument"), forms.name(form, "patient"),
        began, forms.masks(form), forms.spacing(form),
    )  # fmt: skip
    answer = await asyncio.get_running_loop().run_in_executor(worker.pool, work)
    later = BackgroundTask(_afterwards, worker, answer.after) if answer.after else None
    return Response(answer.body, media_type="application/json", background=later)


async def _refine(request: Request, began: float) -> Response:
    worker = Running.worker
    model = worker.refiner.model()
    _refuse_crowd(worker)
    form = await forms.read(request, worker.settings.upload_bytes, refining.FILES, forms.CLICK_FIELD)
    wanted = refining.asked(form)
    work = partial(worker.refiner.refine, model, worker.champions.current, wanted, began)
    content = await asyncio.get_running_loop().run_in_executor(worker.click_pool, work)
    return Response(content, media_type="application/json")


async def _instruments(request: Request) -> Response:
    worker = Running.worker
    champion = worker.champions.current
    if champion is None:
        raise readiness.no_champion(worker)
    name = request.query_params.get("name", "").strip()
    if len(name) > LONGEST:
        raise RequestError(400, "no instrument has such a name", where="name", expected=f"at most {LONGEST} characters")
    work = partial(worker.catalog.instruments, champion, name)
    return JSONResponse(await asyncio.get_running_loop().run_in_executor(worker.click_pool, work))


async def _afterwards(worker: Worker, work: Callable[[], None]) -> None:
    """Begun when the answer has been handed over, and not waited for."""
    with suppress(RuntimeError):  # the worker is being stopped: what was accepted is kept as it is
        worker.pool.submit(work)


def _refuse_crowd(worker: Worker) -> None:
    if Running.requests > worker.settings.concurrency:
        raise RequestError(
            429, "too many requests at once", expected=f"at most {worker.settings.concurrency}", next="try again"
        )


def _problem(error: RequestError) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503, 504) else None
    return JSONResponse(body(error), error.status, headers)


@cache
def _document() -> dict[str, Any]:
    return openapi.document(Running.worker.settings)


class Readiness:
    """Middleware that answers /readyz with its reasons; BentoML's own says yes or no alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self.app(scope, receive, send)
            return
        detail: dict[str, Any] = readiness.detail(Running.worker)
        await JSONResponse(detail, 200 if detail["ready"] else 503)(scope, receive, send)


app = Starlette(
    routes=[
        Route("/segment", segment, methods=["POST"]),
        Route("/refine", refine, methods=["POST"]),
        Route("/instruments", instruments, methods=["GET"]),
        Route("/models", models, methods=["GET"]),
        Route("/openapi.json", document, methods=["GET"]),
    ]
)
