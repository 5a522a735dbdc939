"""The routes of the monitor that are about who asks: signing in and out, and the webhook that is signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from parfocal_serving.security import here
from parfocal_serving.security.caller import SCOPE, Caller, caller_of
from parfocal_serving.security.guard import SESSION, Protection, set_cookie
from parfocal_serving.security.limiter import Limiter
from parfocal_serving.security.problems import problem
from parfocal_serving.security.sessions import LONGEST, Session
from parfocal_serving.security.webhook import ForgedError, Signed, moves_alias
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from parfocal.adapters import nudge
from parfocal.adapters.tokens import PEOPLE

UI = Path(__file__).with_name("ui")
WRONG = 10
"""Wrong tokens that an address may try in a minute before it is told to wait. The right one always gets in."""
LARGEST = 1_000_000
"""Bytes of a webhook's body; a token is much shorter."""
MLFLOW = Caller("mlflow", frozenset())


def add_routes(app: Starlette, protection: Protection, signed: Signed, serving: Path) -> None:
    """Add the sign-in page, the session and the webhook; `serving` is the folder that the follower keeps."""
    people = People(protection)
    app.router.routes += [
        Route("/sign-in", lambda _: FileResponse(UI / "sign-in.html"), methods=["GET"]),
        Mount("/sign-in/static", StaticFiles(directory=UI / "static")),
        Route("/api/session", people.sign_in, methods=["POST"]),
        Route("/api/session", people.show, methods=["GET"]),
        Route("/api/session", people.sign_out, methods=["DELETE"]),
        Route("/webhooks/mlflow", Webhook(signed, serving).called, methods=["POST"]),
    ]


class People:
    """Signs people in and out."""

    def __init__(self, protection: Protection) -> None:
        assert protection.sessions is not None
        self._keeper, self._sessions = protection.keeper, protection.sessions
        self._wrong = Limiter(WRONG, 60)

    async def sign_in(self, request: Request) -> Response:
        if self._keeper.open:
            return JSONResponse(OPEN)
        found = self._keeper.by_word(_token(await _read(request)))
        if found is None:
            if self._wrong.allows(here.peer(request.scope)):
                return problem(401, "no valid token", where="token", next="ask whoever runs this installation for one")
            answer = problem(429, "too many wrong tokens", next="try again in a minute")
            answer.headers["Retry-After"] = "60"
            return answer
        token, caller = found
        session = self._sessions.begin(token)
        request.scope[SCOPE] = caller
        headers = {"Set-Cookie": set_cookie(request.scope, self._sessions.cookie(session))}
        return JSONResponse(self._shown(caller, session), headers=headers)

    async def show(self, request: Request) -> Response:
        if self._keeper.open:
            return JSONResponse(OPEN)
        caller, session = caller_of(request.scope), request.scope.get(SESSION)
        if session is None:
            return problem(401, "nobody is signed in", next="/sign-in")
        return JSONResponse(self._shown(caller, session))

    async def sign_out(self, request: Request) -> Response:
        session = request.scope.get(SESSION)
        if session is not None:
            await run_in_threadpool(self._sessions.end, session)
        return Response(status_code=204, headers={"Set-Cookie": set_cookie(request.scope, "")})

    def _shown(self, caller: Caller, session: Session) -> dict[str, Any]:
        csrf, until = self._sessions.csrf(session), session.began + LONGEST
        return {"name": caller.name, "roles": sorted(caller.roles), "csrf": csrf, "until": until, "open": False}


OPEN = {"name": "", "roles": sorted({*PEOPLE}), "csrf": "", "until": None, "open": True}


class Webhook:
    """MLflow says that an alias was moved: the follower looks now. What the champion is it asks the registry itself."""

    def __init__(self, signed: Signed, serving: Path) -> None:
        self._signed, self._serving = signed, serving

    async def called(self, request: Request) -> Response:
        body = await _read(request)
        try:
            delivery = self._signed.check(request.headers, body)
        except ForgedError as error:
            return problem(401, str(error), expected="a webhook with the secret of PARFOCAL_WEBHOOK_SECRET")
        request.scope[SCOPE] = MLFLOW
        woken = not self._signed.again(delivery) and moves_alias(body)
        if woken:
            await run_in_threadpool(nudge.nudge, self._serving)
        self._signed.done(delivery)
        return JSONResponse({"woken": woken})


async def _read(request: Request) -> bytes:
    """The body, or as much of it as makes it wrong."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            return b""
    return body


def _token(body: bytes) -> str:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    word = said.get("token") if isinstance(said, dict) else None
    return word if isinstance(word, str) else ""
