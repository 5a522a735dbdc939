"""What was accepted a moment ago: lines of a file, each written by one `write()`, which survives a killed process.

It holds what a request may not wait for SQLite to take. Nothing is read from it but after a restart.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

logger = logging.getLogger("parfocal.segmenter")

LARGEST = 1 << 20
"""Bytes from which it is begun anew."""


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

    def write(self, line: str) -> None:
        """Add a line, all of it or nothing; an OSError when there is no room."""
        data = f"{line}\n".encode()
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
                    found.append({**values, "seq": int(values["seq"]), "time": float(values["time"])})
                except (ValueError, TypeError, KeyError):
                    logger.warning("a line of %s is damaged", file)
        return found

    def sync(self) -> None:
        """Have it on the disk."""
        os.fsync(self._descriptor)

    def begin_anew(self, lines: Iterable[str]) -> None:
        """Keep these lines alone; the others stay beside them until `forget_before`; an OSError changes nothing."""
        if self._before.exists():
            return
        fresh = self.file.with_name(f"{self.file.name}.fresh")
        data = "".join(f"{line}\n" for line in lines).encode()
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
