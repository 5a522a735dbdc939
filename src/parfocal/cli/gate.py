"""`parfocal gate`: what the gate asks, what it can see, and how often it errs, for people."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli.console import Options, common

if TYPE_CHECKING:
    from parfocal.promotion.simulation import Creep, Rates

SIZES = (20, 25, 40, 60, 100)


@click.group()
def gate() -> None:
    """What a challenger must show before it may answer, and how often the gate errs."""


@gate.command()
@common
def policy(options: Options) -> None:
    """Print every number of the gate with its reason. The output is itself the gate section of a run's YAML."""
    import yaml

    found = options.config().gate
    if options.as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=1))
        return
    click.echo("gate:")
    for name, field in type(found).model_fields.items():
        value = found.model_dump(mode="json")[name]
        click.echo(f"  # {field.description}")
        click.echo(f"  {name}: {yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}")


@gate.command("power")
@click.option("--patients", type=click.IntRange(min=2), multiple=True, help="Test patients; repeatable.")
@click.option("--sd", type=float, multiple=True, help="Of the paired differences, Dice; repeatable.")
@common
def power_table(patients: tuple[int, ...], sd: tuple[float, ...], options: Options) -> None:
    """Say how often an equal challenger passes the no-loss condition of one old cell (normal approximation)."""
    from parfocal.core.errors import UsageError
    from parfocal.evaluation.statistics import patients_needed, power

    found = options.config().gate
    if any(not 0 < value <= 1 for value in sd):
        raise UsageError("a standard deviation of Dice differences is above 0 and at most 1")
    rows = [
        {
            "patients": n,
            "sd": s,
            "power": power(n, s, found.margin, found.level),
            "patients_for_four_in_five": patients_needed(s, found.margin, found.level),
            "judged": n >= found.min_patients,
        }
        for s in sd or (0.04, 0.06, 0.09)
        for n in patients or (20, 25, 26, 40, 60, 100, 125)
    ]
    if options.as_json:
        click.echo(json.dumps({"margin": found.margin, "level": found.level, "rows": rows}, indent=1))
        return
    click.echo(f"an equal challenger passes no-loss (margin {found.margin:g}) in one old cell:")
    for row in rows:
        short = "" if row["judged"] else f"  (inconclusive: under {found.min_patients} patients)"
        click.echo(
            f"  {row['patients']:>4} patients, sd {row['sd']:g}: {row['power']:.0%}; four in five with "
            f"{row['patients_for_four_in_five']}{short}"
        )


@gate.command()
@click.option("--patients", type=click.IntRange(min=2), multiple=True, help="Test patients of a cell; repeatable.")
@click.option("--cells", default=3, show_default=True, type=click.IntRange(min=1), help="Old cells beside the new one.")
@click.option("--sd", default=0.06, show_default=True, help="Of the paired differences, Dice.")
@click.option("--skew", default=-2.0, show_default=True, help="Of them; below 0, a few lose much; 0: normal.")
@click.option("--runs", default=1000, show_default=True, type=click.IntRange(min=10), help="Challengers of each kind.")
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@common
def simulate(
    patients: tuple[int, ...], cells: int, sd: float, skew: float, runs: int, seed: int, options: Options
) -> None:
    """Put challengers whose truth is known before the gate, and count its errors.

    \b
    harm     loses exactly the margin in one old cell and gains on the new one: must not be promoted
    useless  is equal everywhere: must not be promoted
    good     is equal in the old cells and gains on the new one: must not be refused
    Beside them retrains that each lose a little, one after another: what the limit of creep keeps.

    Exit code 4 when an error rate is over what is declared by more than three standard errors of the simulation.
    """
    from parfocal.core.errors import GateRefusedError, UsageError
    from parfocal.promotion import simulation
    from parfocal.promotion.population import Population

    if not 0 < sd <= 1 or abs(skew) > 10:
        raise UsageError("cannot simulate that", expected="--sd in (0, 1], --skew between -10 and 10")
    found = options.config().gate
    people = Population(old=cells, sd=sd, skew=skew)
    rates = [
        simulation.simulate(kind, replace(people, patients=size), found, runs=runs, seed=seed)
        for size in patients or SIZES
        for kind in simulation.scenarios(found, people)
    ]
    powers = {size: simulation.predicted(replace(people, patients=size), found) for size in patients or SIZES}
    creeping = simulation.creep(people, found, runs=max(10, runs // 20), seed=seed)
    if options.as_json:
        rows = [asdict(rate) | {"held": rate.held, "power_printed": powers[rate.patients]} for rate in rates]
        values: dict[str, Any] = {"policy": found.model_dump(mode="json"), "population": asdict(people)}
        values |= {"declared": simulation.DECLARED, "rows": rows, "creep": asdict(creeping)}
        click.echo(json.dumps(values, indent=1))
    else:
        _table(rates, powers)
        _creeping(creeping, people.patients)
    if broken := [rate for rate in rates if not rate.held]:
        worst = max(broken, key=lambda rate: rate.error)
        raise GateRefusedError(
            f"the gate does not hold what it declares: {worst.scenario} with {worst.patients} patients "
            f"{worst.error:.1%}, declared {simulation.DECLARED:.0%}",
            next="ask for more test patients (gate.min_patients), or take gate.interval=studentised",
        )


def _table(rates: list[Rates], powers: dict[int, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    from parfocal.promotion.simulation import DECLARED

    table = Table(title=f"{rates[0].runs:,} challengers of each kind")
    for name in ("patients", "kind", "promoted", "refused", "inconclusive", "error", "declared", "no-loss met"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for rate in rates:
        shown = f"{rate.no_loss:.1%}"
        if rate.scenario == "good":
            shown += f" ({powers[rate.patients]:.0%} printed)"
        table.add_row(
            str(rate.patients), rate.scenario, f"{rate.promote:.1%}", f"{rate.refuse:.1%}", f"{rate.inconclusive:.1%}",
            f"{rate.error:.1%} ± {2 * math.sqrt(rate.error * (1 - rate.error) / rate.runs):.1%}",
            f"{DECLARED:.0%}{'' if rate.held else ' BROKEN'}", shown,
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    for rate in rates:
        if rate.refused_by and rate.scenario == "good":
            by = ", ".join(f"{name} {share:.1%}" for name, share in rate.refused_by.items())
            console.print(f"good ones refused, {rate.patients} patients: {by}", highlight=False)


def _creeping(found: Creep, patients: int) -> None:
    click.echo(
        f"{found.attempts} retrains that each lose {found.loss:g} in one old cell of {patients} patients: "
        f"{found.promoted:.1f} promoted, {found.lost[0]:.3f} lost in all (95 %: {found.lost[1]:.3f}); "
        f"without the limit of creep {found.lost_unlimited[0]:.3f} ({found.lost_unlimited[1]:.3f})"
    )
