"""Carries observations from the outbox to the monitor, and outlives whatever the monitor does."""

from __future__ import annotations

import http.client
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from parfocal_serving.segmenter.outbox import Outbox
from parfocal_serving.segmenter.slot import Row, Slot

logger = logging.getLogger("parfocal.segmenter")

LARGEST = 500
"""Observations in one POST: what the monitor takes in one transaction."""
FIRST, LONGEST = 0.2, 10.0
"""Seconds to wait after the first and after the latest of several failures."""
GATHER = 0.05
"""Seconds in which further observations may join the one that woke the sender."""
ADOPT = 5.0
"""Seconds between two looks at slots whose workers are gone."""
TIMEOUT = 10.0
"""Seconds the monitor may take over one batch."""
KEPT = 2.0
"""Seconds after which an idle connection is opened anew: the monitor lets go of one after five."""
ELSEWHERE = {401, 403, 404, 405, 407, 408, 425, 429}
"""Refusals that are about the address, the token or the moment. Every other 4xx is about what was sent."""


class Away(Exception):  # noqa: N818  a state of the monitor, not a fault of this program
    """The monitor did not acknowledge; the same batch is for later."""


class Refused(Exception):  # noqa: N818
    """The monitor will not take these observations, now or later."""


class Monitor:
    """POST /observations over one connection that is kept."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(address.hostname or "", address.port, timeout=TIMEOUT)
        self._path = f"{address.path.rstrip('/')}/observations"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._used = time.monotonic()

    def post(self, rows: list[Row]) -> int:
        """Deliver a batch; the number of observations in it that the monitor set aside.

        Raises:
            Away: nothing was acknowledged.
            Refused: the monitor finds fault with the content.
        """
        body = f'{{"observations":[{",".join(row.body for row in rows)}]}}'
        if time.monotonic() - self._used > KEPT:
            self._connection.close()
        try:
            self._connection.request("POST", self._path, body.encode(), self._headers)
            response = self._connection.getresponse()
            status, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # opened again by the next request
            raise Away(f"{type(error).__name__}: {error}") from None
        self._used = time.monotonic()
        if 400 <= status < 500 and status not in ELSEWHERE:
            raise Refused(f"HTTP {status}: {content[:200].decode(errors='replace')}")
        if status != 200:
            raise Away(f"HTTP {status}")
        return _set_aside(content, len(rows))


def _set_aside(content: bytes, sent: int) -> int:
    """Number of rejected observations in an acknowledgement; whatever else says 200 here is not the monitor."""
    try:
        answer = json.loads(content)
        rejected = len(answer["rejected"])
        counted = answer["accepted"] + answer["duplicates"] + rejected
    except (ValueError, TypeError, KeyError):
        raise Away("HTTP 200, but not from a monitor") from None
    if counted != sent:
        raise Away(f"{counted} of {sent} observations acknowledged")
    if rejected:
        logger.warning("the monitor set %d observations aside: %s", rejected, answer["rejected"][0])
    return rejected


class Sender:
    """A thread that empties this worker's slot, and slots whose workers are gone.

    Args:
        outbox: to empty.
        monitor: to tell.
        sent, refused: called with the number of observations delivered, and not taken.
    """

    def __init__(
        self, outbox: Outbox, monitor: Monitor, *, sent: Callable[[int], None], refused: Callable[[int], None]
    ) -> None:
        self._outbox, self._monitor = outbox, monitor
        self._count_sent, self._count_refused = sent, refused
        self._stopping = threading.Event()
        self._size = LARGEST
        self._looked = -ADOPT
        self.adopted: Slot | None = None
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 2.0) -> None:
        """Stop after the batch that is on its way, or after `patience` seconds; what waits stays in the outbox."""
        self._stopping.set()
        self._outbox.arrived.set()
        self._thread.join(patience)

    def _run(self) -> None:
        delay = FIRST
        while not self._stopping.is_set():
            try:
                self._round()
            except (Away, sqlite3.Error, OSError) as error:
                if not self.trouble:
                    logger.warning("observations wait in the outbox: %s", error)
                self.trouble = str(error) or type(error).__name__
                self._stopping.wait(delay)
                delay = min(2 * delay, LONGEST)
                continue
            if self.trouble:
                logger.warning("observations reach the monitor again")
            self.trouble, delay = "", FIRST
            self._outbox.arrived.wait(ADOPT)
            self._outbox.arrived.clear()
            self._stopping.wait(GATHER)

    def _round(self) -> None:
        if self._outbox.slot is not None:
            self._empty(self._outbox.slot)
        if time.monotonic() - self._looked < ADOPT:
            return
        for slot in self._outbox.abandoned():
            self.adopted = slot
            try:
                self._empty(slot)
            finally:
                self.adopted = None
        self._looked = time.monotonic()

    def _empty(self, slot: Slot) -> None:
        """Send all that waits, in order. A batch that is refused is halved until the one at fault stands alone."""
        while not self._stopping.is_set() and (rows := slot.batch(self._size)):
            try:
                aside = self._monitor.post(rows)
            except Refused as error:
                if len(rows) > 1:
                    self._size = len(rows) // 2
                    continue
                logger.warning("observation %d is not taken by the monitor: %s", rows[0].seq, error)
                slot.refuse(rows[0], str(error))
                self._count_refused(1)
                continue
            slot.forget(rows)
            self._size = min(LARGEST, 2 * self._size)
            self._count_sent(len(rows) - aside)
            self._count_refused(aside)
