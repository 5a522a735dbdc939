"""The latest of something by name, in memory and bounded. May be used from several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """Holds at most `most` values; the one that was put first goes first."""

    def __init__(self, most: int = 500) -> None:
        self._most, self._held, self._lock = most, OrderedDict[str, T](), threading.Lock()

    def put(self, name: str, value: T) -> None:
        with self._lock:
            self._held[name] = value
            self._held.move_to_end(name)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def get(self, name: str) -> T | None:
        with self._lock:
            return self._held.get(name)

    def drop(self, name: str) -> None:
        with self._lock:
            self._held.pop(name, None)
