"""Stands before everything else in both services: who asks, may they, is it written down, what does a browser hear."""

from __future__ import annotations

import base64
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from parfocal_serving.security import here
from parfocal_serving.security.audit import Audit
from parfocal_serving.security.caller import NOBODY, SCOPE, Caller
from parfocal_serving.security.headers import PAGE, complete
from parfocal_serving.security.problems import problem
from parfocal_serving.security.rules import READING, REST, Rule, rule
from parfocal_serving.security.sessions import Session, Sessions
from parfocal_serving.security.tokens import Keeper
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION = "parfocal.session"
"""Key of an ASGI scope under which the guard leaves the session of a page."""
CSRF = "x-csrf-token"
SIGN_IN = ("POST", "/api/session")
"""Its page cannot know the session that it is about to replace; another site's is refused by its origin."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Protection:
    """What a service is guarded with.

    Attributes:
        sessions: None where there are no pages: a cookie says nothing then.
        page: policy of HTML that brings none of its own.
    """

    keeper: Keeper
    rules: Sequence[Rule]
    audit: Audit
    sessions: Sessions | None = None
    page: str = PAGE


@dataclass(frozen=True, slots=True)
class Known:
    """Who asks, and how we know."""

    caller: Caller = NOBODY
    via: str = ""
    session: Session | None = None


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, protection: Protection) -> None:
        self._app, self._of = app, protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks so

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        line = rule(self._of.rules, scope["method"], scope["path"])
        said = headers.get("x-request-id", "")
        request_id = said if _ID.fullmatch(said) else uuid.uuid4().hex
        known = Known(via="open") if self._of.keeper.open else self._who(scope, headers)
        scope[SCOPE], scope[SESSION] = known.caller, known.session
        outcome = 0

        async def answered(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = message["status"]
                self._complete(message, scope, known.session, request_id)
            await send(message)

        refusal = self._refusal(scope, headers, line, known)
        try:
            await (refusal or self._app)(scope, receive, answered)
        except Exception:
            if not outcome:
                await problem(500, "the service failed", where=request_id, next="see its log: this is a bug")(
                    scope, receive, answered
                )
            raise  # to the server's log
        finally:
            knocked = outcome in (401, 403, 429) and (line.roles or scope["method"] not in READING)
            if line.audited or knocked:
                self._write(scope, line, known, outcome, request_id)

    def _who(self, scope: Scope, headers: Headers) -> Known:
        if said := headers.get("authorization", ""):
            kind, word = _credentials(said)
            caller = self._of.keeper.bearer(word)
            return Known(caller, kind) if caller else Known()
        if self._of.sessions is None:
            return Known()
        session = self._of.sessions.read(cookie_parser(headers.get("cookie", "")).get(cookie_name(scope), ""))
        caller = self._of.keeper.by_id(session.token) if session else None
        return Known(caller, "session", session) if caller else Known()

    def _refusal(self, scope: Scope, headers: Headers, line: Rule, known: Known) -> Response | None:
        """Why not, None for whoever may."""
        writes = scope["method"] not in READING
        if self._of.keeper.open and not here.from_this_machine(scope, headers):
            return problem(
                403,
                "without tokens only this machine is served",
                expected="no PARFOCAL_OPEN, and a token",
                next="parfocal token add NAME --role segment",
            )
        if writes and known.via != "token" and not here.same_page(headers):
            return problem(403, "a page from elsewhere cannot write here", where=headers["origin"])
        if not self._of.keeper.open:
            refusal = self._not_allowed(scope, headers, line, known, writes)
            if refusal is not None:
                return refusal
        if line.audited and not self._of.audit.ready():
            return problem(503, "nothing is done that the audit log cannot have", next="make room on the disk")
        return None

    def _not_allowed(self, scope: Scope, headers: Headers, line: Rule, known: Known, writes: bool) -> Response | None:
        if line.roles and not known.via:
            return self._to_sign_in(scope, headers) or problem(
                401,
                "no valid token",
                expected=f"Authorization: Bearer and a token that may {' or '.join(sorted(line.roles))}",
                next="parfocal token add NAME --role ROLE",
            )
        sessions, session = self._of.sessions, known.session
        changes = writes and (scope["method"], scope["path"]) != SIGN_IN
        if sessions and session and changes and not sessions.writes(session, headers.get(CSRF, "")):
            return problem(403, "not sent by a page of ours", where="X-CSRF-Token", expected="that of /api/session")
        if line.roles and not line.roles & known.caller.roles:
            may, needs = ", ".join(sorted(known.caller.roles)), " or ".join(sorted(line.roles))
            return problem(403, f"{known.caller.name} may only {may}", expected=f"a token that may {needs}")
        return None

    def _to_sign_in(self, scope: Scope, headers: Headers) -> Response | None:
        """A person's browser is shown the way; a program is told what is wrong."""
        person = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if not person or self._of.sessions is None or "authorization" in headers:
            return None
        query = scope["query_string"].decode("latin-1")
        return RedirectResponse(f"/sign-in?next={quote(scope['path'] + ('?' + query if query else ''), safe='')}", 303)

    def _complete(self, message: Message, scope: Scope, session: Session | None, request_id: str) -> None:
        message.setdefault("headers", [])
        headers = MutableHeaders(raw=message["headers"])
        complete(headers, page=self._of.page, tls=scope["scheme"] == "https", request_id=request_id)
        sessions = self._of.sessions
        if sessions and session and sessions.due(session) and "set-cookie" not in headers:
            headers.append("set-cookie", set_cookie(scope, sessions.cookie(session)))

    def _write(self, scope: Scope, line: Rule, known: Known, outcome: int, request_id: str) -> None:
        caller = scope.get(SCOPE, known.caller)  # whoever signs in is known only now
        via = known.via or ("signature" if caller.name and line.path.startswith("/webhooks") else "")
        path = "" if line is REST else scope["path"]
        self._of.audit.done(caller, via, scope["method"], path, outcome or 500, request_id, here.peer(scope))


def _credentials(said: str) -> tuple[str, str]:
    """How somebody comes in, and the token; it may be the password of Basic, all that Label Studio can send."""
    kind, _, word = said.partition(" ")
    if kind.lower() == "bearer":
        return "token", word.strip()
    try:
        pair = base64.b64decode(word, validate=True).decode() if kind.lower() == "basic" else ""
    except ValueError:
        pair = ""
    return "password", pair.partition(":")[2]


def cookie_name(scope: Scope) -> str:
    """With TLS one that no other name of the host can set, nor one without TLS (RFC 6265bis, 4.1.3)."""
    return "__Host-parfocal" if scope["scheme"] == "https" else "parfocal"


def set_cookie(scope: Scope, value: str) -> str:
    """A Set-Cookie header; an empty value takes the cookie away."""
    life = "" if value else "; Max-Age=0"
    tls = "; Secure" if scope["scheme"] == "https" else ""
    return f"{cookie_name(scope)}={value}; Path=/; HttpOnly; SameSite=Strict{tls}{life}"
