"""`parfocal drift`: what the numbers of the drift detectors promise, for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from parfocal.drift.run_length import Threshold

SIZES = (36, 100, 500, 1000, 2000)
LIMIT = 2000
"""Cases after which a simulated delay is called longer than that."""


@click.group()
def drift() -> None:
    """Look into the drift detectors."""


@drift.command("run-length")
@click.option("--arl0", default=20_000.0, show_default=True, help="Declared cases to a false alarm of one stream.")
@click.option("--k", default=0.5, show_default=True, help="Allowance of the CUSUM, in standard deviations.")
@click.option("--size", "sizes", type=click.IntRange(min=1), multiple=True, help="Held-out cases; repeatable.")
@click.option("--budget", type=float, help="False alarms a month of the installation; replaces --arl0.")
@click.option("--cases-a-day", default=100.0, show_default=True, help="Traffic of the installation, for --budget.")
@click.option("--streams", default=2, show_default=True, help="Streams that look at every case, for --budget.")
@click.option("--runs", default=1000, show_default=True, help="Simulated runs behind each median delay.")
@click.option("--seed", default=0, show_default=True, help="Of the drawn references and of the simulation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def run_length(
    arl0: float,
    k: float,
    sizes: tuple[int, ...],
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
    from parfocal.core.errors import UsageError
    from parfocal.drift.run_length import arl0_for

    if budget is not None:
        if budget <= 0 or cases_a_day <= 0 or streams < 1:
            raise UsageError("a budget, the cases a day and the streams are above 0")
        arl0 = arl0_for(budget, cases_a_day, streams)
    if arl0 <= 1 or k < 0 or runs < 1:
        raise UsageError("cannot compute that", expected="--arl0 above 1, --k at least 0, --runs at least 1")
    rows = [_row(arl0, size, k, runs=runs, seed=seed) for size in sizes or SIZES]
    if as_json:
        click.echo(json.dumps({"arl0": arl0, "k": k, "rows": [row.values() for row in rows]}, indent=1))
    else:
        _table(rows, arl0, k)


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


def _cases(number: float) -> str:
    return f"{number:,.0f}" if number < 1e8 else f"{number:.0e}"


def _delay(cases: float | None) -> str:
    return f"over {LIMIT:,}" if cases is None else f"{cases:.0f}"
