"""The audit log of a service: a line for every write, for every look at a photograph, and for who was refused."""

from __future__ import annotations

import logging
from pathlib import Path

from parfocal_serving.security.caller import Caller
from parfocal_serving.security.limiter import Limiter

from parfocal.adapters import audit

REFUSALS = 60
"""Lines a minute about the refused: whoever knocks all day must not fill the disk. The next line counts the rest."""
logger = logging.getLogger(__name__)


class Audit:
    """Writes lines; never a token, a patient, a query or a body.

    Args:
        state: the installation's folder.
        service: ``monitor`` or ``segmenter``.
    """

    def __init__(self, state: Path, service: str, limiter: Limiter | None = None) -> None:
        self._place, self._service = audit.folder(state), service
        self._limiter, self._unwritten = limiter or Limiter(REFUSALS, 60), 0

    def ready(self) -> bool:
        """Whether what is about to be done could be written down."""
        return audit.writable(self._place)

    def done(self, caller: Caller, via: str, method: str, path: str, outcome: int, request_id: str, peer: str) -> None:
        """Write what somebody did.

        Args:
            via: ``token``, ``password``, ``session``, ``signature``, ``open`` or nothing.
            path: empty for one that no rule knows: anything might stand in it.
            outcome: HTTP status.
        """
        if outcome in (401, 403, 429) and not self._limiter.allows():
            self._unwritten += 1
            return
        values = {
            "service": self._service,
            "who": caller.name,
            "roles": sorted(caller.roles),
            "via": via,
            "what": method,
            "on": path[:300],
            "outcome": outcome,
            "request": request_id,
            "from": peer,
        }
        if self._unwritten:
            values["refused_unwritten"] = self._unwritten
        try:
            audit.append(self._place, values)
            self._unwritten = 0
        except OSError as error:
            logger.error("the audit log is not written: %s", error)
