"""The demo's tables: scores, the gate's conditions, and what was found in all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.cli.demo import commands, view

if TYPE_CHECKING:
    from parfocal.core.scores import Evaluation

STYLE = {"promote": "green", "refuse": "red", "inconclusive": "yellow"}
NOTHING = "–"


def scores(judged: Evaluation) -> None:
    """Mean Dice by cell, beside the rivals, and the paired gain."""
    from rich.table import Table

    from parfocal.evaluation.tables import tables
    from parfocal.promotion.policy import GatePolicy

    policy, table = GatePolicy(), Table()
    for name in ("instrument", "structure"):
        table.add_column(name)
    for name in ("cases", "champion", "challenger", "constant mask", f"gain, {policy.level:.0%} interval"):
        table.add_column(name, justify="right")
    for cell in tables(judged, level=policy.level, method=policy.interval):
        rows = {model: cell.row(model) for model in ("champion", "challenger", "constant")}
        shown = [f"{row.dice:.3f}" if row else NOTHING for row in rows.values()]
        gain = f"{cell.gain.estimate:+.3f} ({cell.gain.low:+.3f} to {cell.gain.high:+.3f})" if cell.gain else NOTHING
        count = rows["challenger"].cases if rows["challenger"] else 0
        table.add_row(cell.instrument, cell.structure, str(count), *shown, gain)
    view.console().print(table)


def gate(decision: Mapping[str, Any]) -> None:
    """Every condition, and what it was held against."""
    from rich.table import Table

    level = next((check["interval"]["level"] for check in decision["checks"] if check["interval"]), 0.9)
    table = Table("condition", "cell")
    for name in ("value", "limit", f"{level:.0%} interval"):
        table.add_column(name, justify="right")
    table.add_column("outcome")
    for check in decision["checks"]:
        interval = check["interval"]
        shown = f"{interval['low']:+.3f} to {interval['high']:+.3f}" if interval else ""
        cell = " ".join(part for part in (check["instrument"], check["structure"]) if part)
        table.add_row(
            check["name"], cell, f"{check['value']:.3f}", f"{check['limit']:.3f}", shown, _said(check["outcome"])
        )
    view.console().print(table)


def outcome(decision: Mapping[str, Any], before: str, after: str) -> None:
    """The gate's word, and who is champion now."""
    view.console().print(f"gate: [bold {STYLE[decision['outcome']]}]{decision['outcome']}[/]. ", end="")
    view.line(decision["reason"])
    view.line(f"champion: version {before} before, version {after} now")


def closing(out: Path, summary: Mapping[str, Any]) -> None:
    """The table of the run, and where everything is."""
    from rich.table import Table

    view.heading("Done")
    table = Table("what", "found", show_header=False)
    for what, found in _rows(summary):
        table.add_row(what, found)
    view.console().print(table)
    view.line("  ".join(f"{name} {seconds:.0f} s" for name, seconds in summary["phases"].items()))
    view.line(f"report:   {out / 'report.html'}")
    view.line(f"summary:  {out / 'summary.json'}")
    view.line(f"history:  {commands.history(out)}")


def _rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    alarm, swap, requests = summary["alarm"], summary["swap"], summary["requests"]
    at = alarm["observations_to_alarm"]
    noticed = f"alarm at case {at}" if at is not None else f"no alarm in {alarm['new_cases']} cases, so retrained"
    rows = [
        ("known camera", f"{alarm['known_cases']} cases, {alarm['false_alarms']} alarms"),
        ("new camera", f"{noticed} ({summary['trigger_path']})" if at is not None else f"{noticed} by hand"),
        ("gate", _said(summary["gate"]["decision"])),
        ("champion", f"version {summary['champion']['before']} -> {summary['champion']['after']}"),
    ]
    if swap["seconds"] is not None:
        failed = f"{swap['failed_requests']} failed requests"
        rows.append(("swap", f"{swap['seconds']:.1f} s after the promotion, {failed}"))
    if alarm["alarms_after_promotion"] is not None:
        rows.append(("after", f"{alarm['alarms_after_promotion']} alarms at the camera that is known now"))
    return [*rows, ("requests", f"{requests['answered']} answered, {requests['failed']} failed")]


def _said(outcome: str) -> str:
    return f"[{STYLE[outcome]}]{outcome}[/]"
