"""The audit log: who did what, one JSON line each, in `<state>/audit/<year>-<month>.jsonl`.

Lines are only ever appended, each by one write() to a file opened with O_APPEND, so that several processes may do so at
once. Nothing here removes a file: how long such a log is kept is for the installation to say.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FREE = 1_000_000
"""Bytes that the disk must have left before a write is let in that has to be written down."""


def folder(state: Path) -> Path:
    return state.resolve() / "audit"


def append(place: Path, values: dict[str, Any], now: datetime | None = None) -> None:
    """Write a line.

    Args:
        place: the log's folder.
        values: what JSON can say; never a token, a patient or a picture. The time is put in front.

    Raises:
        OSError: it is not written.
    """
    at = now or datetime.now(UTC)
    line = json.dumps({"time": at.isoformat(timespec="milliseconds"), **values}, ensure_ascii=True) + "\n"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(place / f"{at:%Y-%m}.jsonl", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        if os.write(file, line.encode()) != len(line):
            raise OSError(f"{place}: a line was cut short")
    finally:
        os.close(file)


def writable(place: Path) -> bool:
    """Whether a line would go in now."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = os.statvfs(place)
    except OSError:
        return False
    return left.f_bavail * left.f_frsize > FREE and os.access(place, os.W_OK)
