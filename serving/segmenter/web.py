"""The routes, and the detail of /readyz, as plain ASGI under BentoML.

BentoML's own file inputs are not used: they fetch an address from the network when the field `image` is a text, write
uploads to a temporary file, and answer errors as a list or without their reason. All else is BentoML's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from parfocal_serving.segmenter import batches, forms, metrics, openapi, readiness
from parfocal_serving.segmenter import refine as refining
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.drain import Ending
from parfocal_serving.segmenter.label_studio import LabelStudio
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.running import Running, asked_task, guarded, of_form
from parfocal_serving.segmenter.worker import Answer, Worker
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from parfocal.core.observations import LONGEST


class Counted:
    """What a request to /segment is counted under, as soon as it is known."""

    def __init__(self, worker: Worker) -> None:
        self.at(worker)

    def at(self, worker: Worker) -> Champion | None:
        """The champion that would answer now, of the task that the request turned out to be for."""
        champion = worker.champions.current
        self.task, self.version = worker.settings.task, champion.version if champion else ""
        return champion


async def segment(request: Request) -> Response:
    """Answer a photograph, and count it."""
    began = time.perf_counter()
    counted = Counted(Running.worker)
    response = await guarded(partial(_segment, request, counted, began), Running.worker.pools.segmenting)
    metrics.REQUESTS.labels(counted.task, counted.version, str(response.status_code)).inc()
    metrics.REQUEST_SECONDS.labels(counted.task).observe(time.perf_counter() - began)
    return response


async def refine(request: Request) -> Response:
    """Answer clicks."""
    return await guarded(partial(_refine, request, time.perf_counter()), Running.worker.pools.clicking)


async def instruments(request: Request) -> Response:
    """What the champion knows."""
    return await guarded(partial(_instruments, request), Running.worker.pools.clicking)


async def models(request: Request) -> Response:  # noqa: ARG001
    """Who answers."""
    first, *others = (worker.catalog.models(worker.champions.current, worker.challenger) for worker in Running.all())
    return JSONResponse({**first, "others": others} if others else first)


async def document(request: Request) -> Response:  # noqa: ARG001
    """All this, for programs."""
    return JSONResponse(_document())


async def _segment(request: Request, counted: Counted, began: float) -> Response:
    worker = Running.of(asked_task(request))
    if counted.at(worker) is None and not Running.others:  # nobody's upload is read
        raise readiness.no_champion(worker)
    pressure = worker.pools.segmenting
    with pressure.upload():
        form = await forms.read(request, worker.settings.upload_bytes, ("image",), pictures=forms.MOST_PICTURES)
    worker = of_form(request, form)
    if (champion := counted.at(worker)) is None:
        raise readiness.no_champion(worker)
    asked: dict[str, Any] = {
        "instrument": forms.name(form, "instrument"),
        "patient": forms.name(form, "patient"),
        "received": began,
        "masks": forms.segment_masks(request, form),
        "spacing": forms.spacing(form),
        "more": forms.more(request, form),
    }

    async def answered(image: bytes) -> Answer:
        late = threading.Event()
        work = partial(worker.segment, champion, image, wanted=lambda: not late.is_set(), **asked)
        try:
            with pressure.place():
                return await asyncio.get_running_loop().run_in_executor(worker.pool, pressure.timed, work)
        except asyncio.CancelledError:
            late.set()  # its thread goes on: nobody hears what it finds, and so nobody is told of it
            raise

    if len(form.images) > 1:
        return await _several(worker, form, answered, forms.more(request, form).alone)
    answer = await answered(forms.image(form))
    counted.version = answer.version
    return Response(answer.body, media_type=answer.media, background=BackgroundTask(_afterwards, worker, answer.after))


async def _several(
    worker: Worker, form: forms.Form, answer: Callable[[bytes], Awaitable[Answer]], alone: bool
) -> Response:
    """Several pictures of one form."""
    if alone:
        raise batches.no_object(len(form.images))
    found = await batches.outcomes(form.images, answer)
    done = [one for one in found if isinstance(one, Answer)]
    later = BackgroundTasks([BackgroundTask(_afterwards, worker, one.after) for one in done])
    return Response(batches.text(found), media_type="application/json", background=later)


async def _refine(request: Request, began: float) -> Response:
    worker = Running.of(asked_task(request))
    if not Running.others:
        worker.refiner.model()  # says that there is none before the upload is read
    pressure = worker.pools.clicking
    with pressure.upload():
        form = await forms.read(request, worker.settings.upload_bytes, refining.FILES, forms.CLICK_FIELD)
    worker = of_form(request, form)
    model, wanted = worker.refiner.model(), refining.asked(form)
    work = partial(worker.refiner.refine, model, worker.champions.current, wanted, began)
    with pressure.place():
        content = await asyncio.get_running_loop().run_in_executor(worker.pools.click, pressure.timed, work)
    return Response(content, media_type="application/json")


async def _instruments(request: Request) -> Response:
    name = request.query_params.get("name", "").strip()
    if len(name) > LONGEST:
        raise RequestError(400, "no instrument has such a name", where="name", expected=f"at most {LONGEST} characters")
    task = asked_task(request)
    first = await _known_to(Running.of(task), name)
    others = [] if task else [one for one in Running.others.values() if one.champions.current is not None]
    return JSONResponse({**first, "others": [await _known_to(one, name) for one in others]} if others else first)


async def _known_to(worker: Worker, name: str) -> dict[str, Any]:
    champion = worker.champions.current
    if champion is None:
        raise readiness.no_champion(worker)
    work = partial(worker.catalog.instruments, champion, name)
    return await asyncio.get_running_loop().run_in_executor(worker.pools.click, work)


async def _afterwards(worker: Worker, work: Callable[[], None]) -> None:
    """Begun when the answer has been handed over, and not waited for."""
    with suppress(RuntimeError):  # the worker is being stopped: what was accepted is kept as it is
        worker.pool.submit(work)


@cache
def _document() -> dict[str, Any]:
    return openapi.document(Running.worker.settings)


def _label_studio() -> ASGIApp:
    def clicking(work: Callable[[], Awaitable[Response]]) -> Awaitable[Response]:
        return guarded(work, Running.worker.pools.clicking)

    return LabelStudio(lambda: Running.worker, clicking).app()


class Readiness:
    """Middleware that answers /readyz with its reasons; BentoML's own says yes or no alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/readyz":
            await self.app(scope, receive, send)
            return
        ending = Ending.drain is not None and Ending.drain.asked
        detail: dict[str, Any] = readiness.of_all(Running.all(), ending)
        await JSONResponse(detail, 200 if detail["ready"] else 503)(scope, receive, send)


app = Starlette(
    routes=[
        Route("/segment", segment, methods=["POST"]),
        Route("/refine", refine, methods=["POST"]),
        Route("/instruments", instruments, methods=["GET"]),
        Route("/models", models, methods=["GET"]),
        Route("/openapi.json", document, methods=["GET"]),
        Mount("/label-studio", _label_studio()),
    ]
)
