"""Waking a follower before its time: somebody says that an alias was moved, and the follower looks for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

FILE = "nudge"
LOOK = 0.1
"""Seconds between two looks for a nudge."""


def nudge(serving: Path) -> None:
    """Have the follower that keeps the folder `serving` look now. Without one, it is for the next."""
    serving.mkdir(parents=True, exist_ok=True)
    (serving / FILE).touch()


def wait(stopping: threading.Event, folders: Sequence[Path], seconds: float) -> None:
    """Return after `seconds`, when told to stop, or when one of the folders was nudged."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stopping.wait(min(left, LOOK)):
        if sum(_taken(folder / FILE) for folder in folders):  # takes every one: they are all looked at now
            return


def _taken(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:  # nobody has
        return False
    return True
