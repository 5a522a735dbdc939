"""The addresses under which candidates are looked at and acted on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from parfocal_serving.monitor.candidates import Kept
from parfocal_serving.monitor.candidates_acts import Acts
from parfocal_serving.monitor.service import Service
from starlette.concurrency import run_in_threadpool

from parfocal.core.errors import DataContractError

LONGEST = 100
"""Letters of an instrument's name or a candidate's id."""
Signed = Callable[[Request], Awaitable[tuple[str, str]]]


def add(app: FastAPI, monitor: Service, signed: Signed) -> None:
    """Add them to the application.

    Args:
        signed: who sent a request, and why.
    """

    @app.get("/api/candidates")
    def candidates() -> JSONResponse:
        return JSONResponse(monitor.candidates(), headers={"Cache-Control": "no-store"})

    async def done(act: Callable[[Acts], Kept], by: str, reason: str) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(monitor.act, act, by, reason))

    @app.post("/candidates/{candidate}/name")
    async def name(candidate: str, request: Request) -> JSONResponse:
        by, reason = await signed(request)
        given = await _text(request, "name")
        return await done(lambda acts: acts.name(candidate, given), by, reason)

    @app.post("/candidates/{candidate}/merge")
    async def merge(candidate: str, request: Request) -> JSONResponse:
        by, reason = await signed(request)
        into = await _text(request, "into")
        return await done(lambda acts: acts.merge(candidate, into), by, reason)

    @app.post("/candidates/{candidate}/dismiss")
    async def dismiss(candidate: str, request: Request) -> JSONResponse:
        by, reason = await signed(request)
        return await done(lambda acts: acts.dismiss(candidate), by, reason)


async def _text(request: Request, field: str) -> str:
    said: Any = json.loads(await request.body())  # `signed` has seen that it is a JSON object
    value = said.get(field)
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= LONGEST:
        raise DataContractError("a field is missing", where=field, expected=f"1 to {LONGEST} letters")
    return value.strip()
