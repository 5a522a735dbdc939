"""The page and its API as routes of the monitor. Handlers only turn requests into calls and results into answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from mimetypes import guess_type
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from parfocal_serving.monitor.annotate import asked
from parfocal_serving.monitor.annotate.annotation import Annotation
from parfocal_serving.monitor.annotate.desk import Holder
from parfocal_serving.monitor.annotate.labels import Accepted
from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.cases import NAME
from parfocal_serving.monitor.guard import problem
from parfocal_serving.security.caller import caller_of
from starlette.concurrency import run_in_threadpool

PAGE = "index.html"
FRESH = {"Cache-Control": "no-store"}
ACTIONS = ("skip", "release", "reject", "unreadable")
FINAL = ("reject", "unreadable")
T = TypeVar("T")


def mount(app: FastAPI, annotation: Annotation) -> None:
    """Add the page at /annotate and the API at /api/annotate."""
    app.add_exception_handler(Refusal, _refused)
    _page(app)
    _cases(app, annotation)
    _help(app, annotation)

    @app.get("/api/annotate/queue")
    async def queue() -> JSONResponse:
        return JSONResponse(await run_in_threadpool(annotation.queue), headers=FRESH)

    @app.post("/api/annotate/next")
    async def next_case(request: Request) -> Response:
        said = asked.read(asked.Next, await _body(request))
        who = asked.annotator(caller_of(request.scope).name, said.annotator)
        given = await run_in_threadpool(annotation.next, said.instrument or None, who)
        return Response(status_code=204, headers=FRESH) if given is None else JSONResponse(given, headers=FRESH)


def _page(app: FastAPI) -> None:
    here = files("parfocal_serving.monitor.ui") / "annotate"
    held = {one.name: one for one in here.iterdir() if one.is_file()} if here.is_dir() else {}

    @app.get("/annotate")
    def page() -> Response:
        return _file(PAGE)

    @app.get("/annotate/static/{name}")
    def static(name: str) -> Response:
        return _file(name)

    def _file(name: str) -> Response:
        if name not in held:
            raise Refusal(404, "there is no such page", where=name[:60])
        kind = "text/javascript" if name.endswith(".js") else guess_type(name)[0] or "application/octet-stream"
        return Response(held[name].read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})


def _cases(app: FastAPI, annotation: Annotation) -> None:
    @app.get("/api/annotate/cases/{case}/image")
    async def image(case: str, request: Request) -> Response:
        data, kind = await run_in_threadpool(annotation.image, _holder(case, request))
        return Response(data, media_type=kind, headers=FRESH)

    @app.put("/api/annotate/cases/{case}/draft")
    async def draft(case: str, request: Request) -> JSONResponse:
        text = asked.draft(await _body(request, asked.DRAFT_BYTES))
        until = await run_in_threadpool(annotation.keep_draft, _holder(case, request), text)
        return JSONResponse({"lease": {"until": until}})

    @app.post("/api/annotate/cases/{case}/accept")
    async def accept(case: str, request: Request) -> JSONResponse:
        body, who = await _body(request), _holder(case, request)
        return JSONResponse(await run_in_threadpool(lambda: annotation.accept(who, asked.read(Accepted, body))))

    for action in ACTIONS:
        app.post(f"/api/annotate/cases/{{case}}/{action}", name=action)(_leaves(annotation, action))


def _leaves(annotation: Annotation, action: str) -> Callable[..., Any]:
    async def leave(case: str, request: Request) -> JSONResponse:
        reason = asked.reason(await _body(request), needed=action in FINAL)
        return JSONResponse(await run_in_threadpool(annotation.give_back, _holder(case, request), action, reason))

    return leave


def _help(app: FastAPI, annotation: Annotation) -> None:
    @app.get("/api/annotate/cases/{case}/proposal")
    async def proposal(case: str, request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(annotation.helping.propose, _holder(case, request)), headers=FRESH)

    @app.post("/api/annotate/cases/{case}/refine")
    async def refine(case: str, request: Request) -> JSONResponse:
        body, who = await _body(request), _holder(case, request)
        found = await run_in_threadpool(lambda: annotation.helping.refine(who, asked.read(asked.Refine, body)))
        return JSONResponse(found, headers=FRESH)


def _holder(case: str, request: Request) -> Holder:
    if not NAME.fullmatch(case):
        raise Refusal(404, "there is no such case", where="case")
    token = request.headers.get("x-lease") or request.query_params.get("lease", "")
    named = unquote(request.headers.get("x-annotator", ""))
    return Holder(case, token, caller_of(request.scope).name, named)


async def _body(request: Request, most: int = asked.BODY_BYTES) -> bytes:
    """The whole body, if it is not too much."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > most:
            raise Refusal(413, "the body is too large", expected=f"at most {most / 1e6:g} MB")
    return bytes(read)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return problem(error.status, error.what, where=error.where, expected=error.expected, next=error.next)
