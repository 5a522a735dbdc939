"""How the demo looks on a console."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.cli.console import Terminal
from parfocal.core.reporting import JsonLines

if TYPE_CHECKING:
    from rich.console import Console

    from parfocal.core.protocols import Reporter
    from parfocal.core.scores import Evaluation
    from parfocal.models import ModelConfig

STYLE = {"promote": "green", "refuse": "red", "inconclusive": "yellow"}


@lru_cache(maxsize=1)
def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def heading(text: str) -> None:
    """A rule with what comes now."""
    _console().print()
    _console().rule(f"[bold]{text}", align="left")


def line(text: str) -> None:
    """One plain line; paths may hold brackets, so nothing in it is markup."""
    _console().print(text, markup=False, soft_wrap=True)


@contextmanager
def reporter() -> Iterator[Reporter]:
    """Bars on a terminal, JSON lines elsewhere."""
    if not sys.stderr.isatty():
        yield JsonLines(sys.stderr)
        return
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()


def welcome(out: Path, pictures: int, model: ModelConfig) -> None:
    """What is about to happen, and how long it will take here."""
    heading("Parfocal: a model that learns a new camera and keeps the old one")
    line(f"Everything goes to {out}. Training sees {pictures} pictures in all.")
    if not _has_amx():
        from parfocal.training.pace import pictures_a_second

        rate = pictures_a_second(model)
        minutes = pictures / rate / 60 + 2
        line(f"This processor has no AMX: {rate:.0f} pictures a second, so expect about {minutes:.0f} minutes.")


def scores(judged: Evaluation) -> None:
    """Mean Dice by cell, beside the rivals, and the paired gain."""
    from rich.table import Table

    from parfocal.evaluation.tables import tables

    table = Table("instrument", "structure", "cases", "champion", "challenger", "constant mask", "gain, 90 % interval")
    for cell in tables(judged):
        rows = {model: cell.row(model) for model in ("champion", "challenger", "constant")}
        shown = {model: f"{row.dice:.3f}" if row else "–" for model, row in rows.items()}
        gain = f"{cell.gain.estimate:+.3f} ({cell.gain.low:+.3f} to {cell.gain.high:+.3f})" if cell.gain else "–"
        count = rows["challenger"].cases if rows["challenger"] else 0
        table.add_row(
            cell.instrument, cell.structure, str(count), shown["champion"], shown["challenger"], shown["constant"], gain
        )
    _console().print(table)


def gate(decision: dict[str, Any]) -> None:
    """Every condition, and what it was held against."""
    from rich.table import Table

    table = Table("condition", "cell", "value", "limit", "90 % interval", "outcome")
    for check in decision["checks"]:
        interval = check["interval"]
        shown = f"{interval['low']:+.3f} to {interval['high']:+.3f}" if interval else ""
        cell = " ".join(part for part in (check["instrument"], check["structure"]) if part)
        outcome = f"[{STYLE[check['outcome']]}]{check['outcome']}[/]"
        table.add_row(check["name"], cell, f"{check['value']:.3f}", f"{check['limit']:.3f}", shown, outcome)
    _console().print(table)


def outcome(said: str, decision: dict[str, Any], before: str, after: str) -> None:
    """The gate's word, and who is champion now."""
    _console().print(f"gate: [bold {STYLE[said]}]{said}[/]. ", end="")
    line(decision["reason"])
    line(f"champion: version {before} before, version {after} now")


def approval(command: str) -> None:
    """How a person takes an inconclusive decision upon themselves."""
    line("\nThe gate cannot say. Whoever has looked at the report may decide, with name and reason in the ledger:\n")
    line(command)


def closing(out: Path, phases: dict[str, float]) -> None:
    """Where everything is."""
    heading("Done")
    line("  ".join(f"{name} {seconds:.0f} s" for name, seconds in phases.items()))
    line(f"report:   {out / 'report.html'}")
    line(f"summary:  {out / 'summary.json'}")
    line(f"history:  PARFOCAL_STATE={out / 'state'} {program()} registry history")
    mlflow = Path(program()).with_name("mlflow")
    line(f"runs:     {mlflow} ui --backend-store-uri sqlite:///{out / 'state' / 'mlflow.db'}")


def program() -> str:
    """This program as a person would type it: the one beside the running Python."""
    beside = Path(sys.executable).with_name("parfocal")
    return str(beside) if beside.is_file() else "parfocal"


def mean_dice(judged: Evaluation, model: str) -> dict[str, dict[str, float]]:
    """Mean Dice by instrument and structure."""
    from parfocal.evaluation.tables import mean_dice as gather

    found = gather(judged.scores.get(model, ()))
    return {name: {what: round(dice, 4) for what, dice in cells.items()} for name, cells in found.items()}


def _has_amx() -> bool:
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
