"""A file that somebody else may replace at any time."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int, int]


class Watched:
    """Says when a file is another than at the last look: one stat() a look, a microsecond."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: Stamp | str | None = "never"

    def changed(self) -> bool:
        """Whether it was replaced, written to, made, removed or given another mode since the last look."""
        stamp = self._stamp()
        before, self._seen = self._seen, stamp
        return stamp != before

    def forget(self) -> None:
        """Have the next look say that it changed: it could not be read at this one."""
        self._seen = "never"

    def _stamp(self) -> Stamp | None:
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
