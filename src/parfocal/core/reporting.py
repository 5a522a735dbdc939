"""Reporters that need no terminal: silence, and one JSON line an epoch."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TextIO


class Silent:
    """Says nothing."""

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, message: str) -> None: ...


class JsonLines:
    """One JSON object a line, for logs and for other programs. Progress inside an epoch is left out."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._write({"stage": stage, "step": step, **{name: round(value, 5) for name, value in values.items()}})

    def note(self, message: str) -> None:
        self._write({"note": message})

    def _write(self, values: Mapping[str, object]) -> None:
        self._stream.write(json.dumps(values) + "\n")
        self._stream.flush()
