"""What was accepted a moment ago: lines of a file, each written by one `write()`, which survives a killed process.

It holds what a request may not wait for SQLite to take. Nothing is read from it but after a restart.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger("parfocal.segmenter")

LARGEST = 1 << 20
"""Bytes from which it is begun anew."""
PLAIN = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
"""Made once: `json.dumps` would make one for every observation."""
UNMEASURED: Mapping[str, Any] = {"reference_id": "", "embedding": "", "shape": {}, "acquisition": {}, "case_ref": None}
"""What an observation says of which nothing is measured: without a reference it moves no detector."""


class Line(NamedTuple):
    """One in the journal whose row has not come: what it says, until when the row is waited for, and the row's JSON
    where the database had no room for it."""

    values: dict[str, Any]
    until: float
    whole: str = ""

    @property
    def body(self) -> str:
        return self.whole or PLAIN.encode(self.values)


class Journal:
    """The file and, while it is begun anew, the one before it.

    Attributes:
        size: bytes in the file.
    """

    def __init__(self, file: Path) -> None:
        """Open or make the file; an OSError when it cannot be."""
        self.file, self._before = file, file.with_name(f"{file.name}.before")
        self._descriptor = self._open()
        self.size = os.fstat(self._descriptor).st_size

    def write(self, values: Mapping[str, Any]) -> None:
        """Add an observation of which nothing is measured, all of it or nothing; an OSError when there is no room."""
        data = _line(values)
        if os.write(self._descriptor, data) < len(data):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.file))
        self.size += len(data)

    def read(self) -> list[dict[str, Any]]:
        """Everything in it, oldest first; a line that was cut off is none."""
        found = []
        for file in (self._before, self.file):
            for line in file.read_bytes().splitlines() if file.exists() else ():
                try:
                    values = json.loads(line)
                    found.append({**UNMEASURED, **values, "seq": int(values["seq"]), "time": float(values["time"])})
                except (ValueError, TypeError, KeyError):
                    logger.warning("a line of %s is damaged", file)
        return found

    def sync(self) -> None:
        """Have it on the disk."""
        os.fsync(self._descriptor)

    def begin_anew(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep these alone; the others stay beside them until `forget_before`; an OSError changes nothing."""
        if self._before.exists():
            return
        fresh = self.file.with_name(f"{self.file.name}.fresh")
        data = b"".join(map(_line, lines))
        fresh.write_bytes(data)
        self.file.rename(self._before)
        fresh.rename(self.file)
        os.close(self._descriptor)
        self._descriptor, self.size = self._open(), len(data)

    def forget_before(self) -> None:
        """What is not in the lines that were kept is elsewhere by now, and on the disk."""
        self._before.unlink(missing_ok=True)

    def close(self) -> None:
        """Whatever is written from now on is an OSError, and not a line in somebody else's file."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _open(self) -> int:
        return os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _line(values: Mapping[str, Any]) -> bytes:
    """JSON written out by hand: a request waits for it, and the encoder alone would take as long as all the rest."""
    instrument, patient = values["instrument"], values["patient_hmac"]
    return (
        f'{{"seq":{values["seq"]},"time":{values["time"]!r},"id":{quoted(values["id"])},"task":{quoted(values["task"])},'
        f'"model_version":{quoted(values["model_version"])},'
        f'"instrument":{"null" if instrument is None else quoted(instrument)},'
        f'"patient_hmac":{"null" if patient is None else quoted(patient)}}}\n'
    ).encode()
