"""What a person sees: progress bars on a terminal, JSON lines elsewhere, results as text or as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.core.protocols import Reporter
from parfocal.core.reporting import JsonLines, Silent

if TYPE_CHECKING:
    from parfocal.steps.config import RunConfig


@dataclass(frozen=True, slots=True)
class Options:
    """What every verb was told: a configuration, overrides, and how to speak."""

    config_file: Path | None
    overrides: tuple[str, ...]
    as_json: bool
    quiet: bool

    def config(self, *extra: str) -> RunConfig:
        """The settings of the run: defaults, then the file, then --set, then a verb's own options."""
        from parfocal.steps.config import RunConfig

        return RunConfig.load(self.config_file, (*self.overrides, *extra))

    @contextmanager
    def reporter(self) -> Iterator[Reporter]:
        """Progress on standard error: bars on a terminal, one JSON line an epoch without one."""
        if self.quiet:
            yield Silent()
        elif self.as_json or not sys.stderr.isatty():
            yield JsonLines(sys.stderr)
        else:
            terminal = Terminal()
            try:
                yield terminal
            finally:
                terminal.close()

    def result(self, values: Mapping[str, Any], text: str) -> None:
        """The command's answer on standard output."""
        click.echo(json.dumps(values, indent=1, default=str) if self.as_json else text)


def common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every verb takes; the verb receives them as `options`."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file of the run.")
    @click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable.")
    @click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on standard output.")
    @click.option("--quiet", is_flag=True, help="No progress.")
    @wraps(command)
    def wrapped(config_file: Path | None, overrides: tuple[str, ...], as_json: bool, quiet: bool, **rest: Any) -> None:
        command(options=Options(config_file, overrides, as_json, quiet), **rest)

    return wrapped


class Terminal:
    """Rich progress bars, one a stage, with the last epoch's numbers beside it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[values]}"),
            console=Console(stderr=True),
        )
        self._progress.start()
        self._bars: dict[str, Any] = {}

    def progress(self, stage: str, done: int, total: int) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, total=total, values="")
        self._progress.update(self._bars[stage], completed=done, total=total)

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002
        text = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        if stage in self._bars:
            self._progress.update(self._bars[stage], values=text)
        else:
            self._progress.console.print(f"{stage}: {text}", highlight=False)

    def note(self, message: str) -> None:
        self._progress.console.print(message, highlight=False)

    def close(self) -> None:
        self._progress.stop()
