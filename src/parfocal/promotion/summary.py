"""The gate's decision as Markdown, for the Kubeflow page, MLflow and a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parfocal.core.types import Check, Outcome
from parfocal.promotion.advice import advice
from parfocal.promotion.evidence import read_decision

MARK = {Outcome.PROMOTE: "met", Outcome.REFUSE: "**broken**", Outcome.INCONCLUSIVE: "*cannot be said*"}
UNIT = {
    "size": ("{:.0f} patients", "at least {:.0f}"),
    "failures": ("{:+.0f} cases", "at most {:+.0f}"),
    "rrp10": ("{:.1f} points lost", "at most {:.1f}"),
    "latency": ("{:.1f} ms", "at most {:.1f}"),
    "agreement": ("{:.4f}", "at least {:g}"),
    "floor": ("{:.3f}", "at least {:g}"),
    "creep": ("{:.3f}", "at least {:.3f}"),
    "gain": ("{:+.3f}", "above {:g}"),
    "no-loss": ("{:+.3f}", "above {:g}"),
    "constant-mask": ("{:+.3f}", "above {:g}"),
}
"""How the value and the limit of each condition are written."""


def render(evidence: Mapping[str, Any]) -> str:
    """One page: the decision, every condition with its limit and interval, and each in a sentence."""
    decision = read_decision(evidence["decision"])
    heading = f"# Gate: {decision.outcome}" + (f", approved by {decision.approved_by}" if decision.approved_by else "")
    lines = [
        heading,
        "",
        decision.reason,
        "",
        f"Task {evidence['task']}, version {evidence['model']['version']}, bundle "
        f"`{evidence['model']['checksum'][:12]}` ({evidence['model']['strategy']}).",
        f"Way back: {_way_back(evidence['rollback'])}.",
    ]
    if decision.checks:
        lines += ["", *_table(decision.checks)]
        if todo := list(dict.fromkeys(filter(None, map(advice, decision.checks)))):
            lines += ["", "## What to change", "", *(f"- {text}" for text in todo)]
        lines += ["", "## In words", "", *(f"- {check.reason}" for check in decision.checks)]
    return "\n".join([*lines, "", "## Data", "", *_data(evidence["data"])]) + "\n"


def _table(checks: tuple[Check, ...]) -> list[str]:
    level = next((check.interval.level for check in checks if check.interval), 0.9)
    rows = [f"| condition | cell | measured | limit | {level:.0%} interval | |", "| --- " * 6 + "|"]
    for check in checks:
        value, limit = UNIT[check.name]
        interval = f"{check.interval.low:+.3f} to {check.interval.high:+.3f}" if check.interval else ""
        cell = " / ".join(filter(None, (check.instrument, check.structure))) or "bundle"
        rows.append(
            f"| {check.name} | {cell} | {value.format(check.value)} | {limit.format(check.limit)} "
            f"| {interval} | {MARK[check.outcome]} |"
        )
    return rows


def _data(datasets: list[Mapping[str, Any]]) -> list[str]:
    rows = ["| instrument | patients train / validation / test | dataset |", "| --- | --- | --- |"]
    for dataset in datasets:
        counts = dataset["patients"]
        shown = " / ".join(str(counts[s]) for s in ("train", "validation", "test")) if counts else "not reachable"
        rows.append(f"| {dataset['instrument']} | {shown} | `{dataset['checksum'][:12]}` |")
    return rows


def _way_back(rollback: Mapping[str, str] | None) -> str:
    if not rollback:
        return "none, the first model"
    return f"version {rollback['version']}, bundle `{rollback['checksum'][:12]}`"
