"""A pipeline's progress on the console: from its reporter in this process, or from its log in another's."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.cli.console import Terminal
from parfocal.cli.demo import view

if TYPE_CHECKING:
    from parfocal.core.protocols import Reporter

LOOK = 0.5
"""Seconds between two looks at a log."""


class Lines:
    """A reporter that prints a line a sentence, as `following` does."""

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        view.line(_validation(stage, step, {name: round(value, 5) for name, value in values.items()}))

    def note(self, message: str) -> None:
        view.line(f"  {message}")


class Tail:
    """Reads a growing file, each of its lines once."""

    def __init__(self, file: Path) -> None:
        self._file, self._place, self._rest = file, 0, b""

    def lines(self, *, last: bool = False) -> list[str]:
        """Those that were finished since the last call; with `last` also one that nobody finished."""
        if self._file.is_file():
            with self._file.open("rb") as stream:
                stream.seek(self._place)
                new = stream.read()
            self._place += len(new)
            self._rest += new
        whole, end, rest = self._rest.rpartition(b"\n")
        if last:
            whole, rest = whole + end + rest, b""
        self._rest = rest
        return whole.decode(errors="replace").splitlines()


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()


@contextmanager
def following(log: Path) -> Iterator[None]:
    """Show what a run's log says, as it is written."""
    stop, tail = threading.Event(), Tail(log)

    def follow() -> None:
        over = False
        while not over:
            over = stop.wait(LOOK)
            for text in tail.lines(last=over):
                if (shown := event(text)) is not None:
                    view.line(shown)

    thread = threading.Thread(target=follow, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def event(text: str) -> str | None:
    """One line of a run's log as a person reads it: notes and validations; None for what stays in the file."""
    try:
        values: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    if "note" in values:
        return f"  {values['note']}"
    if "stage" in values and "step" in values:
        rest = {name: value for name, value in values.items() if name not in ("stage", "step")}
        return _validation(values["stage"], values["step"], rest)
    return None


def _validation(stage: str, step: int, values: Mapping[str, Any]) -> str:
    numbers = "  ".join(f"{name} {_number(value)}" for name, value in values.items())
    return f"  {stage:<4} step {step:>4}: {numbers}"


def _number(value: Any) -> str:
    return f"{value:.5f}" if isinstance(value, float) else str(value)
