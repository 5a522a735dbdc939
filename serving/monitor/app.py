"""The monitor as a FastAPI service: `python -m parfocal_serving.monitor`, or `uvicorn --factory` with `build`.

Handlers only turn requests into calls and results into answers. What takes long runs in a thread, so that a slow disk
never keeps the page or Prometheus waiting for more than the database's own turn.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from parfocal_serving.monitor import candidates_http
from parfocal_serving.monitor.annotate import routes as annotating
from parfocal_serving.monitor.cases import NameTakenError, NewCase, TooLargeError
from parfocal_serving.monitor.guard import Limit, problem
from parfocal_serving.monitor.metrics import UNDECLARED, exposition
from parfocal_serving.monitor.page import Page
from parfocal_serving.monitor.service import Service
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.monitor.store import MOST
from parfocal_serving.security.caller import caller_of
from parfocal_serving.security.protection import protect_monitor
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError, UsageError

TEXTS = ("patient", "grader", "name", "assisted")
WEBHOOK = "4"
"""Version of Alertmanager's webhook, unchanged since its 0.6."""
ALERTS_BYTES = 10_000_000
"""Of a call of the webhook: thousands of alerts in one group, and no memory for whoever holds the token to fill."""
YES = {"1", "yes", "true"}
logger = logging.getLogger(__name__)
STATUS = (
    (NameTakenError, 409),
    (TooLargeError, 413),
    (DataContractError, 400),
    (UsageError, 400),
    (OutsideServiceError, 503),
)
"""The first that fits."""


def build(settings: MonitorSettings | None = None, service: Service | None = None) -> FastAPI:
    """The application, by default of the environment's settings. It works from its start-up to its shut-down."""
    chosen = settings or MonitorSettings()
    monitor = service or Service(chosen)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(monitor.start)
        try:
            yield
        finally:
            await run_in_threadpool(monitor.stop)

    app = FastAPI(title="Parfocal monitor", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Limit, limit=int(chosen.upload_mb * 1e6))
    app.add_exception_handler(ParfocalError, _failed)
    app.add_exception_handler(HTTPException, _refused)
    _writing(app, monitor)
    _reading(app, monitor)
    annotating.mount(app, monitor.annotation)
    candidates_http.add(app, monitor, _signed)
    protect_monitor(app, chosen, chosen.webhook_secret)  # last, and so before all else
    return app


def _writing(app: FastAPI, monitor: Service) -> None:
    @app.post("/observations")
    async def observations(request: Request) -> JSONResponse:
        body = await request.body()

        def receive() -> JSONResponse:
            items = _json(body).get("observations")
            if not isinstance(items, list):
                raise DataContractError("no observations", expected='{"observations": [...]}')
            if len(items) > MOST:
                return problem(413, f"{len(items)} observations in one POST", expected=f"at most {MOST}")
            received = asdict(monitor.receive(items))
            return JSONResponse({name: received[name] for name in ("accepted", "duplicates", "rejected")})

        return await run_in_threadpool(receive)

    @app.post("/alerts")
    async def alerts(request: Request) -> JSONResponse:
        body = await request.body()
        if len(body) > ALERTS_BYTES:
            return problem(413, "the body is too large", expected=f"at most {ALERTS_BYTES / 1e6:g} MB of alerts")
        said = _json(body)
        if not isinstance(said.get("alerts"), list):
            raise DataContractError("this is no call of Alertmanager's webhook", expected='{"alerts": [...], ...}')
        if said.get("version") != WEBHOOK:  # it wakes all the same: what stands in alarm is read from the database
            logger.warning("a call of version %.20r, not %s, of Alertmanager's webhook", said.get("version"), WEBHOOK)
        await run_in_threadpool(monitor.alerted)
        return JSONResponse({"woken": True}, 202)

    @app.post("/cases/{task}/{instrument}")
    async def cases(task: str, instrument: str, request: Request) -> JSONResponse:
        if task != monitor.settings.task:
            return problem(404, f"this monitor watches {monitor.settings.task}, not {task[:60]}")
        async with request.form(max_files=16, max_fields=16) as form:
            case = await _case(form)
        new, labelled = await run_in_threadpool(monitor.hand_in, instrument, case)
        return JSONResponse({"labelled": labelled}, 201 if new else 200)

    @app.post("/detectors/{instrument:path}/reset")
    async def reset(instrument: str, request: Request) -> JSONResponse:
        name = "" if instrument == UNDECLARED else instrument
        return JSONResponse({"detectors": await run_in_threadpool(monitor.reset, name, *await _signed(request))})

    @app.post("/runs/{key:path}/retry")
    async def retry(key: str, request: Request) -> JSONResponse:
        await run_in_threadpool(monitor.again, key, *await _signed(request))
        return JSONResponse({"key": key}, 202)

    @app.post("/runs/{key:path}/abandon")
    async def abandon(key: str, request: Request) -> JSONResponse:
        await run_in_threadpool(monitor.abandon, key, *await _signed(request))
        return JSONResponse({"key": key})


def _reading(app: FastAPI, monitor: Service) -> None:
    page = Page()

    @app.get("/api/state")
    def state() -> JSONResponse:
        return JSONResponse(monitor.view.read(), headers={"Cache-Control": "no-store"})

    @app.get("/api/history")
    def history() -> JSONResponse:
        return JSONResponse(monitor.past.read(), headers={"Cache-Control": "no-store"})

    @app.get("/")
    def home() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        folder = str(monitor.settings.state.resolve())
        text = page.render(monitor.view.read(), monitor.past.read(), nonce=nonce, now=time.time(), folder=folder)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(monitor.collector), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/livez")
    def livez() -> Response:
        return Response("ok" if monitor.alive else "a thread has ended", 200 if monitor.alive else 503)

    @app.get("/readyz")
    def readyz() -> Response:
        monitor.check()
        return Response("ok")


async def _case(form: FormData) -> NewCase:
    files: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in files or name in texts:
            raise DataContractError("a field came twice", where=name)
        if isinstance(value, UploadFile):
            files[name] = await value.read()
        elif name in TEXTS:
            texts[name] = value.strip()
        else:
            raise DataContractError(
                "this is no text field", where=name, expected=f"{', '.join(TEXTS)}; files: image, masks"
            )
    if "image" not in files:
        raise DataContractError("no image", where="image", expected="the photograph as a file field")
    masks = {name: data for name, data in files.items() if name != "image"}
    if masks and not texts.get("grader"):
        raise DataContractError("nobody signs the masks", where="grader", expected="who drew them")
    assisted = texts.pop("assisted", "").lower() in YES
    return NewCase(files["image"], masks, texts.pop("patient", ""), **texts, assisted=assisted)


async def _signed(request: Request) -> tuple[str, str]:
    """Who does this, and why. Where somebody has come in by a token it is they, whatever they say."""
    said = _json(await request.body())
    if known := caller_of(request.scope).name:
        said["by"] = known
    by, reason = (" ".join(said[name].split()) if isinstance(said.get(name), str) else "" for name in ("by", "reason"))
    for name, text in (("by", by), ("reason", reason)):
        if not 1 <= len(text) <= 250 or not text.isprintable():  # no database takes a zero byte or half a surrogate
            expected = "1 to 250 printable characters"
            raise DataContractError("a person signs and explains this", where=name, expected=expected)
    return by, reason


def _json(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise DataContractError("the body is not JSON") from None
    if not isinstance(read, dict):
        raise DataContractError("the body is no JSON object")
    return read


def _failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ParfocalError)
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    return problem(status, error.what, where=error.where, expected=error.expected, next=error.next)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail))
