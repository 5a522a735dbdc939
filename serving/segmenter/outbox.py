"""The durable outbox: what this worker observed and the monitor has not acknowledged yet.

Every worker holds one slot, the first that is free, so a restarted worker inherits what its predecessor left.
Nothing here ever raises into a request: an observation that cannot be kept is dropped, and the caller counts it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from parfocal_serving.segmenter.slot import Slot
from parfocal_serving.segmenter.slot_file import lock

from parfocal.core.errors import UsageError
from parfocal.core.observations import to_json
from parfocal.core.types import Observation

logger = logging.getLogger("parfocal.segmenter")

FLUSH = 0.1
"""Seconds between two flushes to the disk: what a power failure can cost."""
RETRY = 2.0
"""Seconds until an outbox that could not be opened is tried again."""
SLOTS = 1024


class Accepted(NamedTuple):
    """Where an observation waits for what was seen in it."""

    slot: Slot
    seq: int


class Outbox:
    """Bounded; a full one drops the newest.

    Attributes:
        slot: this worker's, None while it cannot be opened.
        arrived: set whenever something was appended.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._opening = threading.Lock()
        self._tried = 0.0
        self._failing = ""
        self._newer: set[Path] = set()
        self.arrived = threading.Event()
        self.slot: Slot | None = None
        self._open()

    @property
    def trouble(self) -> str:
        """Why the last observation was dropped, empty if it was kept."""
        return self._failing

    def accept(self, values: dict[str, Any]) -> Accepted | None:
        """Keep what is known before anything is measured, as quickly as can be; None if it was dropped.

        It is sent when `complete` was called, or as it is when that does not happen for seconds.

        Args:
            values: of an observation, as it travels; `seq` is written into it.
        """
        slot = self._with_room()
        if slot is None:
            return None
        try:
            accepted = Accepted(slot, slot.accept(values))
        except OSError as error:
            self._dropped(str(error))
            return None
        self._recovered()
        return accepted

    def complete(self, accepted: Accepted, observation: Observation) -> bool:
        """Put the whole of an observation in its place; False if it stays what was accepted."""
        done = self._attempt(accepted.slot, lambda: accepted.slot.complete(accepted.seq, to_json(observation)))
        self.arrived.set()
        return done

    def append(self, observation: Observation) -> bool:
        """Keep a whole observation under this slot's next `seq`; False if it was dropped."""
        slot = self._with_room()
        done = slot is not None and self._attempt(slot, lambda: slot.append(to_json(observation)))
        self.arrived.set()
        return done

    def flush(self) -> None:
        """Have what was appended on the disk, and an outbox that could not be opened tried again."""
        slot = self.slot or self._open()
        try:
            if slot is not None:
                slot.flush()
        except (sqlite3.Error, OSError) as error:
            self._dropped(str(error))

    def abandoned(self) -> Iterator[Slot]:
        """Slots with observations whose worker is gone, each held until the next is asked for."""
        for file in sorted(self._folder.glob("*.db")):
            held = lock(file.with_suffix(".lock"))
            if held is None:
                continue
            try:
                slot = self._slot(file, held)
            except (sqlite3.Error, OSError):
                continue
            if slot is None:
                continue
            try:
                if slot.pending:
                    yield slot
            finally:
                slot.close()

    def close(self) -> None:
        """Let go of the slot; what waits in it stays."""
        self._tried = float("inf")  # first: nobody opens another
        slot, self.slot = self.slot, None
        if slot is not None:
            slot.close()

    def _open(self) -> Slot | None:
        with self._opening:
            if self.slot is None and time.monotonic() - self._tried >= RETRY:
                self._tried = time.monotonic()
                try:
                    self.slot = self._first_free()
                except (sqlite3.Error, OSError) as error:
                    self._dropped(str(error))
        return self.slot

    def _with_room(self) -> Slot | None:
        slot = self.slot or self._open()
        if slot is not None and slot.pending >= self._limit:
            self._dropped(f"full: {slot.pending} observations wait")
            return None
        return slot

    def _attempt(self, slot: Slot, work: Callable[[], None]) -> bool:
        try:
            work()
        except (sqlite3.Error, ValueError, OSError) as error:
            if type(error) is sqlite3.DatabaseError and self.slot is slot:
                self.slot = None  # damaged: opening it again sets the file aside
                slot.close()
            return self._dropped(str(error))
        self._recovered()
        return True

    def _recovered(self) -> None:
        if self._failing:
            logger.warning("the outbox takes observations again")
            self._failing = ""

    def _first_free(self) -> Slot:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(SLOTS):
            file = self._folder / f"{number}.db"
            held = lock(file.with_suffix(".lock"))
            if held is not None and (slot := self._slot(file, held)) is not None:
                return slot
        raise OSError(f"all {SLOTS} slots are held by other workers, or a newer program's")

    def _slot(self, file: Path, held: int) -> Slot | None:
        """Open a slot; None for one that a newer program made, which is left to it. Raises as `Slot` does."""
        try:
            return Slot(file, held)
        except UsageError as error:
            if file not in self._newer:
                logger.error("%s", error)
            self._newer.add(file)
            return None

    def _dropped(self, reason: str) -> bool:
        if reason != self._failing and not (self._failing.startswith("full") and reason.startswith("full")):
            logger.warning("the outbox in %s drops observations: %s", self._folder, reason)
        self._failing = reason
        return False
