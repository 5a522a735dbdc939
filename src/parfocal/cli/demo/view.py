"""How the demo looks on a console."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """The terminal; what is printed is kept, so that a run can be shown as a picture afterwards."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120, record=True)


def save(file: Path) -> None:
    """Write everything that was printed as an SVG picture."""
    if file.parent.is_dir():
        _console().save_svg(str(file), title="make demo")


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


@contextmanager
def counter(unit: str) -> Iterator[Callable[[int, str], None]]:
    """A line that changes on a terminal; elsewhere one line each time it is called."""
    console = _console()
    if not console.is_terminal:
        yield lambda done, text: console.print(f"  {done} {unit}: {text}", markup=False)
        return
    with console.status("") as status:
        yield lambda done, text: status.update(f"{done} {unit}: {text}")


def streams(instrument: Mapping[str, Any]) -> str:
    """Statistic and threshold of each of an instrument's drift streams."""
    parts = []
    for stream in instrument.get("streams", ()):
        threshold = stream["threshold"]
        limit = "none" if threshold is None else f"{threshold:.1f}"
        parts.append(f"{stream['name']} {stream['statistic']:.1f} of {limit}{' ALARM' if stream['alarm'] else ''}")
    return ", ".join(parts)


def alarm(name: str, streams: Sequence[Mapping[str, Any]]) -> None:
    """Which streams raised the alarm, and after how many cases."""
    for stream in streams:
        _console().print(f"[bold red]ALARM[/] {name}, {stream['name']}", end=": ")
        line(
            f"statistic {stream['statistic']:.1f} over {stream['threshold']:.1f} at case {stream['alarm_at']}; "
            f"one false alarm in {stream['arl0']:,.0f} cases was allowed"
        )


@contextmanager
def following(log: Path) -> Iterator[None]:
    """Show what a run's log says, as it is written."""
    stop = threading.Event()

    def follow() -> None:
        place = 0
        while True:
            last = stop.is_set()
            if log.is_file():
                with log.open() as stream:
                    stream.seek(place)
                    whole, _, _ = stream.read().rpartition("\n")
                place += len(whole.encode()) + bool(whole)
                for text in whole.splitlines():
                    _event(text)
            if last:
                return
            stop.wait(0.5)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _event(text: str) -> None:
    """One line of a run's log: notes and validations are shown, the rest stays in the file."""
    try:
        values = json.loads(text)
    except ValueError:
        return
    if "note" in values:
        line(f"  {values['note']}")
    elif "stage" in values:
        numbers = "  ".join(f"{name} {value}" for name, value in values.items() if name not in ("stage", "step"))
        line(f"  {values['stage']} step {values['step']}: {numbers}")


def addresses(services: Mapping[str, str]) -> None:
    """Where the pages are."""
    for name, address in services.items():
        line(f"  {name:<13} {address}")


def closing(out: Path, summary: Mapping[str, Any]) -> None:
    """The table of the run, and where everything is."""
    from rich.table import Table

    heading("Done")
    table = Table("what", "found", show_header=False)
    alarm, swap, requests = summary["alarm"], summary["swap"], summary["requests"]
    table.add_row("known camera", f"{alarm['known_cases']} cases, {alarm['false_alarms']} alarms")
    table.add_row("new camera", f"alarm at case {alarm['observations_to_alarm']} ({summary['trigger_path']})")
    table.add_row("gate", f"[{STYLE[summary['gate']['decision']]}]{summary['gate']['decision']}[/]")
    table.add_row("champion", f"version {summary['champion']['before']} -> {summary['champion']['after']}")
    if swap["seconds"] is not None:
        table.add_row("swap", f"{swap['seconds']:.1f} s after the promotion, {swap['failed_requests']} failed requests")
    if alarm["alarms_after_promotion"] is not None:
        table.add_row("after", f"{alarm['alarms_after_promotion']} alarms at the camera that is known now")
    table.add_row("requests", f"{requests['answered']} answered, {requests['failed']} failed")
    _console().print(table)
    line("  ".join(f"{name} {seconds:.0f} s" for name, seconds in summary["phases"].items()))
    line(f"report:   {out / 'report.html'}")
    line(f"summary:  {out / 'summary.json'}")
    line(f"history:  PARFOCAL_STATE={out / 'state'} {program()} registry history")


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
