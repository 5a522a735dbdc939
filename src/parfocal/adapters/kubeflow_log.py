"""What `kfp.local` prints: kept in a file, passed on to a reporter, and read back when a step has failed."""

from __future__ import annotations

import io
import json
import re
from collections import deque
from pathlib import Path
from typing import TextIO

from parfocal.core import errors
from parfocal.core.errors import ParfocalError
from parfocal.core.protocols import Reporter

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"Executing task '([^']+)'")
FAILED = re.compile(r"Task '([^']+)' finished with status FAILURE")
RAISED = re.compile(r"^parfocal\.core\.errors\.(\w+): (.*)$")
DETAIL = re.compile(r"^  (where|expected|next): (.*)$")
INDENT = "    "
"""Put by `kfp.local` before each line of a step's own output."""


class StepLog(io.TextIOBase):
    """A text stream for standard output while a pipeline runs."""

    def __init__(self, file: TextIO, reporter: Reporter) -> None:
        self._file, self._reporter = file, reporter
        self._line = ""
        self._tail: deque[str] = deque(maxlen=400)
        self.step = ""
        self._failed: tuple[str, list[str]] | None = None

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Keep the text; pass on what whole lines of it say."""
        self._file.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(COLOUR.sub("", line).removeprefix(INDENT))
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    def error(self, log: Path) -> ParfocalError:
        """The failed step's own error where it printed one; otherwise the last lines of what it printed."""
        step, tail = self._failed or (self.step, list(self._tail))
        said = _raised(tail)
        if said is None:
            last = "\n    ".join([line for line in tail if line.strip()][-12:])
            return ParfocalError(f"step '{step}' failed:\n    {last}", where=log)
        kind, what, detail = said
        return kind(
            f"step '{step}' failed: {what}",
            where=detail.get("where", ""),
            expected=detail.get("expected", ""),
            next="; ".join(filter(None, (detail.get("next", ""), f"all it printed is in {log}"))),
        )

    def _take(self, line: str) -> None:
        if started := STARTED.search(line):
            self.step = started[1]
            self._tail.clear()
            self._reporter.note(f"step {self.step}")
        self._tail.append(line)
        if (failed := FAILED.search(line)) and self._failed is None:  # the step that reports the end comes after it
            self._failed = (failed[1], list(self._tail))
        if line.startswith("{"):
            self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        """A step speaks in `JsonLines`; anything else that looks like it is only kept."""
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            return
        if set(values) == {"note"}:
            self._reporter.note(values["note"])
        elif {"stage", "step"} < set(values):
            stage, step = values.pop("stage"), values.pop("step")
            self._reporter.epoch(stage, step, {name: v for name, v in values.items() if isinstance(v, int | float)})


def _raised(lines: list[str]) -> tuple[type[ParfocalError], str, dict[str, str]] | None:
    """The last error of this package in a step's output: its class, its sentence and its where, expected, next."""
    starts = [number for number, line in enumerate(lines) if RAISED.match(line)]
    if not starts:
        return None
    match = RAISED.match(lines[starts[-1]])
    assert match is not None
    kind = getattr(errors, match[1], ParfocalError)
    what, detail, key = [match[2]], dict[str, str](), ""
    for line in lines[starts[-1] + 1 :]:
        if found := DETAIL.match(line):
            key = found[1]
            detail[key] = found[2]
        elif not line.startswith(INDENT):
            break
        elif key:
            detail[key] += f"\n{line}"
        else:
            what.append(line)
    return (kind if issubclass(kind, ParfocalError) else ParfocalError), "\n".join(what), detail
