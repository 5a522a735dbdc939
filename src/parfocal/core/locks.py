"""One process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def beside(place: Path) -> Path:
    """The lock of a file or a folder, for `alone`."""
    return place.with_name(f".{place.name}.lock")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process has the file `lock`, which is made where it is not; a killed one lets go of it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
