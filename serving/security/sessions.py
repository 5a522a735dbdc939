"""Who is signed in on a page: a signed cookie that names a token, and what a page must send beside it to write."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, TimestampSigner
from parfocal_serving.security.watched import Watched

from parfocal.adapters.tokens import made_once, write_secret
from parfocal.core.locks import alone, beside

IDLE, LONGEST = 2 * 3600, 12 * 3600
"""Seconds without a request, and in all, after which a session has ended."""
RENEWED = 300
"""Seconds after which a cookie in use is given a new time."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody at a page.

    Attributes:
        id: random.
        token: id of the token that signed in: the session holds as long as it does.
        began, seen: seconds since 1970; `seen` is the time in the cookie.
    """

    id: str
    token: str
    began: int
    seen: int


class Sessions:
    """Makes and reads cookies. The key and what was signed out are in the state folder, so a restart keeps both."""

    def __init__(self, state: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._key = _key(state.resolve() / "session.key")
        self._watched = Watched(state.resolve() / "sessions-ended.json")
        self._over: dict[str, float] = {}
        self._signer = _Signer(clock, self._key)

    def begin(self, token: str) -> Session:
        now = int(self._clock())
        return Session(secrets.token_hex(16), token, now, now)

    def cookie(self, session: Session) -> str:
        """Its value, with the time of now."""
        return self._signer.sign(f"{session.token}.{session.id}.{session.began}").decode()

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None for one that is forged, too old or signed out."""
        try:
            value, seen = self._signer.unsign(cookie, max_age=IDLE, return_timestamp=True)
        except BadSignature:  # one that is too old is one of its kinds
            return None
        token, id_, began = value.decode().split(".")
        found = Session(id_, token, int(began), int(seen.timestamp()))
        return None if self._clock() - found.began > LONGEST or id_ in self._ended() else found

    def due(self, session: Session) -> bool:
        """Whether its cookie wants a new time."""
        return self._clock() - session.seen > RENEWED

    def csrf(self, session: Session) -> str:
        """What a page must send beside the cookie to write: no other page can read it."""
        return hmac.new(self._key, f"csrf {session.id}".encode(), hashlib.sha256).hexdigest()

    def writes(self, session: Session, said: str) -> bool:
        """Whether a request that writes comes from a page of ours."""
        return hmac.compare_digest(self.csrf(session).encode(), said.encode(errors="surrogatepass"))

    def end(self, session: Session) -> None:
        """Sign out: a cookie that was copied is worth nothing from here on."""
        with self._lock, alone(beside(self._watched.file)):
            now = self._clock()
            over = {id_: until for id_, until in self._read().items() if until > now}
            over[session.id] = session.began + LONGEST
            write_secret(self._watched.file, json.dumps(over))

    def _ended(self) -> dict[str, float]:
        with self._lock:
            if self._watched.changed():
                try:
                    self._over = self._read()
                except BaseException:
                    self._watched.forget()
                    raise
            return self._over

    def _read(self) -> dict[str, float]:
        try:
            return {str(id_): float(until) for id_, until in json.loads(self._watched.file.read_text()).items()}
        except FileNotFoundError:
            return {}


class _Signer(TimestampSigner):
    """HMAC-SHA256 over value and time, by our clock."""

    def __init__(self, clock: Callable[[], float], key: bytes) -> None:
        super().__init__(key, salt="parfocal.session", key_derivation="hmac", digest_method=hashlib.sha256)
        self._now = clock

    def get_timestamp(self) -> int:
        return int(self._now())


def _key(file: Path) -> bytes:
    """32 random bytes, made once. Whoever removes the file signs everybody out at the next start."""
    return bytes.fromhex(made_once(file, lambda: secrets.token_hex(32)).decode())
