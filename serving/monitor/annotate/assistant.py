"""What the segmenter says of a case: the champion's masks, the click model's answers. It keeps nothing of either."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.annotate.lately import Lately
from parfocal_serving.monitor.annotate.refusal import Refusal

from parfocal.client import Click, Client, Found, RefusedError
from parfocal.client.retry import Patience
from parfocal.core.errors import OutsideServiceError, UsageError

ASKED_SECONDS = 10.0
"""Between two questions whether clicks are answered."""
AWAY = "draw by hand meanwhile; the monitor's log says why"
logger = logging.getLogger(__name__)


class Assistant:
    """One segmenter. May be used from several threads.

    Args:
        url: its address.
        token: of this installation, by which its services know one another.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 30.0) -> None:
        self._url = url
        self._client = Client(url, token=token, timeout=timeout, patience=Patience(tries=2, first=0.1, longest=0.3))
        self._hasty = Client(url, token=token, timeout=1.0, patience=Patience(tries=1))
        self._known: Lately[str] = Lately()
        self._lock = threading.Lock()
        self._asked, self._answers_clicks = float("-inf"), False

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._hasty.close()

    def answers_clicks(self) -> bool:
        """Whether it does, as of a few seconds ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._asked > ASKED_SECONDS:
                try:
                    self._answers_clicks = self._hasty.models().clicks is not None
                except (OutsideServiceError, UsageError):
                    self._answers_clicks = False
                self._asked = time.monotonic()
            return self._answers_clicks

    def propose(self, case: str, photograph: Path, instrument: str) -> dict[str, Any]:
        """The champion's masks as run lengths.

        Raises:
            Refusal: 503 it is away, and else what it says.
        """
        began = time.perf_counter()
        try:
            found = self._client.segment(photograph, instrument=instrument, masks="rle", observe=False)
        except (OutsideServiceError, UsageError) as error:
            raise _refusal(error, self._url) from None
        self._known.put(case, found.request_id)
        structures = {name: {"rle": _runs(one)} for name, one in found.structures.items()}
        return {"structures": structures, "model": asdict(found.model), "ms": _since(began)}

    def refine(
        self,
        case: str,
        photograph: Path,
        instrument: str,
        structure: str,
        clicks: Sequence[Mapping[str, Any]],
        previous: bytes,
        outer: bytes,
    ) -> dict[str, Any]:
        """The mask by clicks. The photograph is sent only when the segmenter does not remember it.

        Args:
            clicks: every one so far, `{"row", "column", "object"}`.
            previous, outer: PNG files; empty where there are none.

        Raises:
            Refusal: 503 it is away, 501 nothing answers clicks, and else what it says.
        """
        began = time.perf_counter()
        try:
            found = self._client.refine(
                structure, [Click(one["row"], one["column"], one["object"]) for one in clicks], image=photograph,
                case=self._known.get(case) or "", previous=previous, outer=outer, instrument=instrument, masks="rle",
            )  # fmt: skip
        except (OutsideServiceError, UsageError) as error:
            raise _refusal(error, self._url) from None
        self._known.put(case, found.case)
        return {"rle": _runs(found.found), "model": asdict(found.model), "outer": found.outer, "ms": _since(began)}


def _runs(found: Found) -> dict[str, Any]:
    assert found.rle is not None, "they were asked for"
    return {"size": [found.rle.height, found.rle.width], "counts": list(found.rle.counts)}


def _since(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 2)


def _refusal(error: OutsideServiceError | UsageError, url: str) -> Refusal:
    if isinstance(error, RefusedError) and error.status not in (401, 403):
        return Refusal(error.status, error.what, where=error.where, expected=error.expected, next=error.next)
    logger.warning("the segmenter at %s does not help (is PARFOCAL_SEGMENTER_URL its address?): %s", url, error)
    return Refusal(503, "the segmenter does not help now", next=AWAY)
