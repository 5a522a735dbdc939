"""`parfocal drift run-length`, `parfocal monitor simulate`: what the numbers of the drift detectors promise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from parfocal.drift.run_length import Threshold

SIZES = (36, 100, 500, 1000, 2000)
LIMIT = 2000
"""Cases after which a simulated delay is called longer than that."""


Command = Callable[..., None]
OPTIONS = (
    click.option("--arl0", default=20_000.0, show_default=True, help="Declared cases to a false alarm of one stream."),
    click.option("--k", default=0.5, show_default=True, help="Allowance of the CUSUM, in standard deviations."),
    click.option("--budget", type=float, help="False alarms a month of the installation; replaces --arl0."),
    click.option("--cases-a-day", default=100.0, show_default=True, help="Traffic of the installation, for --budget."),
    click.option("--streams", default=4, show_default=True, help="Streams that look at every case, for --budget."),
    click.option("--runs", default=1000, show_default=True, help="Simulated runs behind each median delay."),
    click.option("--seed", default=0, show_default=True, help="Of the drawn references and of the simulation."),
    click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output."),
)
"""How a run length is declared, and what is shown of it."""


def _declared(command: Command) -> Command:
    return reduce(lambda made, option: option(made), reversed(OPTIONS), command)


@click.group()
def drift() -> None:
    """Look into the drift detectors."""


@drift.command("run-length")
@click.option("--size", "sizes", type=click.IntRange(min=1), multiple=True, help="Held-out cases; repeatable.")
@_declared
def run_length(
    sizes: tuple[int, ...],
    arl0: float,
    k: float,
    budget: float | None,
    cases_a_day: float,
    streams: int,
    runs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Show what a declared run length to a false alarm gives, by size of the reference.

    The threshold is the one whose false-alarm rate, averaged over references of that size, is the declared one. A
    single reference may have a longer or a shorter run: 5 % to 95 % of them lie where the table says. Delays are
    medians of simulated cases of a changed instrument, one or two standard deviations further off, to the alarm.
    """
    arl0 = _arl0(arl0, k, runs, budget, cases_a_day, streams)
    rows = [_row(arl0, size, k, runs=runs, seed=seed) for size in sizes or SIZES]
    if as_json:
        click.echo(json.dumps({"arl0": arl0, "k": k, "rows": [row.values() for row in rows]}, indent=1))
    else:
        _table(rows, arl0, k)


@click.command("simulate")
@click.option("--size", type=click.IntRange(min=1), default=1000, show_default=True, help="Held-out cases.")
@click.option("--references", type=click.IntRange(min=1), default=2000, show_default=True, help="Drawn, a run each.")
@click.option("--cases", type=click.IntRange(min=1), help="Of each run. Default: the declared run length.")
@_declared
def simulate(
    size: int,
    references: int,
    cases: int | None,
    arl0: float,
    k: float,
    budget: float | None,
    cases_a_day: float,
    streams: int,
    runs: int,
    seed: int,
    as_json: bool,
) -> None:
    """Count the false alarms of made-up cases, and hold them against the run length that was declared.

    Nothing of the mathematics behind the threshold is used: references are drawn, cases are drawn, alarms are counted.
    The realised run length is all cases over all alarms. A single reference has a shorter or longer one: 5 % to 95 % of
    them lie in the interval. It needs no running monitor.

    \b
        parfocal monitor simulate --json
        parfocal monitor simulate --budget 1 --cases-a-day 100 --size 500
    """
    from parfocal.drift import simulation

    arl0 = _arl0(arl0, k, runs, budget, cases_a_day, streams)
    row = _row(arl0, size, k, runs=runs, seed=seed)
    counted: dict[str, object] = {"realised_arl0": None}
    if row.threshold.promise:
        limit = cases or round(arl0)
        seen = simulation.realised(row.threshold.h, size, k=k, references=references, cases=limit, seed=seed)
        counted = {
            "realised_arl0": seen.arl0 if seen.alarms else None,
            "false_alarms": seen.alarms,
            "cases": seen.cases,
        }
    values = {"declared_arl0": arl0, **counted, "references": references, **row.values()}
    if as_json:
        click.echo(json.dumps(values, indent=1))
    else:
        _said(values)


def _arl0(arl0: float, k: float, runs: int, budget: float | None, cases_a_day: float, streams: int) -> float:
    """The declared run length, from the budget where there is one.

    Raises:
        UsageError: a number makes no sense.
    """
    from parfocal.core.errors import UsageError
    from parfocal.drift.run_length import arl0_for

    if budget is not None:
        if budget <= 0 or cases_a_day <= 0 or streams < 1:
            raise UsageError("a budget, the cases a day and the streams are above 0")
        arl0 = arl0_for(budget, cases_a_day, streams)
    if arl0 <= 1 or k < 0 or runs < 1:
        raise UsageError("cannot compute that", expected="--arl0 above 1, --k at least 0, --runs at least 1")
    return arl0


@dataclass(frozen=True, slots=True)
class Row:
    """One size of the reference: its threshold, and the median delay at one and at two sigma (None: over the limit)."""

    threshold: Threshold
    delays: tuple[float | None, float | None]

    def values(self) -> dict[str, object]:
        """As JSON, which has no infinity: what is not promised is null."""
        finite = {key: None if value == float("inf") else value for key, value in asdict(self.threshold).items()}
        return {**finite, "median_delay": {"1": self.delays[0], "2": self.delays[1]}}


def _row(arl0: float, size: int, k: float, *, runs: int, seed: int) -> Row:
    import numpy as np

    from parfocal.drift.run_length import threshold
    from parfocal.drift.simulation import simulate

    found = threshold(arl0, size, k, seed=seed)
    if not found.promise:
        return Row(found, (None, None))

    def delay(shift: float) -> float | None:
        lengths = simulate(found.h, size, k=k, shift=shift, runs=runs, limit=LIMIT, seed=seed)
        median = float(np.median(lengths))
        return None if median >= LIMIT else median

    return Row(found, (delay(1.0), delay(2.0)))


def _table(rows: list[Row], arl0: float, k: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"CUSUM, k = {k:g}: one false alarm in {arl0:,.0f} cases")
    for name in ("held-out\ncases", "\nthreshold", "run length\n5 %", "\n95 %", "delay at\n1 sigma", "\n2 sigma"):
        table.add_column(name, justify="right")
    for row in rows:
        one = row.threshold
        size = f"{one.reference_size:,}"
        if one.promise:
            table.add_row(size, f"{one.h:.2f}", _cases(one.low), _cases(one.high), *map(_delay, row.delays))
        else:
            table.add_row(size, "none", *["-"] * 4)
    console = Console()
    console.print(table)
    for row in rows:
        if not row.threshold.promise:
            console.print(row.threshold.reason, highlight=False)


def _said(values: Mapping[str, Any]) -> None:
    """The outcome of a simulation for a person."""
    click.echo(f"declared: one false alarm in {values['declared_arl0']:,.0f} cases of one stream")
    if not values["promise"]:
        click.echo(values["reason"])
        return
    realised, delays = values["realised_arl0"], values["median_delay"]
    seen = "none" if realised is None else f"one in {realised:,.0f} cases"
    click.echo(
        f"realised: {seen} ({values['false_alarms']:,} alarms in {values['cases']:,} cases, "
        f"{values['references']:,} references of {values['reference_size']:,} held-out cases)"
    )
    click.echo(f"one reference: {_cases(values['low'])} to {_cases(values['high'])} cases (5 % to 95 % of references)")
    one, two = _delay(delays["1"]), _delay(delays["2"])
    click.echo(f"threshold {values['h']:.2f}; median delay {one} cases at one sigma, {two} at two")


def _cases(number: float) -> str:
    return f"{number:,.0f}" if number < 1e8 else f"{number:.0e}"


def _delay(cases: float | None) -> str:
    return f"over {LIMIT:,}" if cases is None else f"{cases:.0f}"
