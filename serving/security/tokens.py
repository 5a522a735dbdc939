"""Who a bearer token belongs to, as the file of tokens says now."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from parfocal_serving.security.caller import Caller
from parfocal_serving.security.watched import Watched

from parfocal.adapters.settings import Settings
from parfocal.adapters.tokens import INSTALLATION, Token, Tokens, read
from parfocal.core.errors import ParfocalError, UsageError

SERVICE = Caller(INSTALLATION, frozenset({"observe", "segment"}))
"""Who PARFOCAL_TOKEN is: the outbox, Alertmanager, Prometheus, and the monitor when it asks for a mask. No person."""
logger = logging.getLogger(__name__)


class Keeper:
    """Knows the tokens. The file is read anew when it has changed: a rotation needs no restart.

    A file that is gone, broken or open to others lets nobody in: what was revoked last is not known any more.

    Attributes:
        open: nobody is asked for a token; this machine alone is served.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.open = settings.open
        self._service = _hashed(settings.token) if settings.token else b""
        self._clock, self._lock = clock, threading.Lock()
        self._watched, self._tokens = Watched(settings.token_file), Tokens()

    def bearer(self, word: str) -> Caller | None:
        """Who holds this token."""
        # Digests of one length: not even how long the right one is can be seen from the time this takes.
        if self._service and hmac.compare_digest(_hashed(word), self._service):
            return SERVICE
        return _caller(self._current().holder(word, self._clock()))

    def by_word(self, word: str) -> tuple[str, Caller] | None:
        """Id and holder of a person's token; the installation's own does not sign in."""
        found = self._current().holder(word, self._clock())
        return (found.id, Caller(found.name, frozenset(found.roles))) if found else None

    def by_id(self, id_: str) -> Caller | None:
        """Who holds the token of a session, as long as it holds."""
        return _caller(self._current().by_id(id_, self._clock()))

    def demand(self) -> None:
        """Raise a UsageError where a service would serve nobody, and none said that it shall be open."""
        if self.open or self._service or read(self._watched.file).held(self._clock()):
            return
        raise UsageError(
            "no token is known here, so nobody could use this service",
            where=self._watched.file,
            expected="a token, or PARFOCAL_OPEN=1 to serve this machine alone without any",
            next="parfocal token add NAME --role segment --role annotate --role operate",
        )

    def _current(self) -> Tokens:
        with self._lock:
            if self._watched.changed():
                try:
                    self._tokens = read(self._watched.file)
                except (ParfocalError, OSError) as error:
                    logger.error("nobody is let in by a token: %s", error)
                    self._tokens = Tokens()
                    if isinstance(error, OSError):  # a disk that is away for a moment; what is wrong in it stays wrong
                        self._watched.forget()
            return self._tokens


def _caller(found: Token | None) -> Caller | None:
    return Caller(found.name, frozenset(found.roles)) if found else None


def _hashed(word: str) -> bytes:
    return hashlib.sha256(word.encode(errors="surrogatepass")).digest()
