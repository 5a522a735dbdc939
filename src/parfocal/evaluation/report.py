"""The report of an evaluation: one HTML file that needs nothing else, and a few lines of Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from parfocal.core.scores import Evaluation
from parfocal.evaluation import figures
from parfocal.evaluation.forgetting import matrix, transfer
from parfocal.evaluation.tables import CellTable, tables

TRANSFER = {
    "bwt_gem": "backward transfer, last step against the diagonal (Lopez-Paz and Ranzato 2017)",
    "bwt_all_steps": "backward transfer, all later steps (Díaz-Rodríguez and others 2018)",
    "forgetting": "forgetting, best earlier score minus the last (Chaudhry and others 2018)",
    "bwt_relative": "backward transfer relative to the diagonal (as Lifelong nnU-Net, 2022)",
    "forward": "forward transfer: score before an instrument was learned",
    "plasticity": "plasticity: mean of the diagonal",
}


@dataclass(frozen=True)
class Picture:
    """One overlay. `uri` is a data URI; `kind` is ``best`` or ``worst``."""

    instrument: str
    structure: str
    kind: str
    case: str
    dice: float
    rival_dice: float | None
    uri: str


def render(evaluation: Evaluation, pictures: Sequence[Picture], *, resamples: int = 4000) -> str:
    """The report as one HTML document without outside references."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("parfocal.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "signed": signed}
    structures = tuple(dict.fromkeys(score.structure for score in evaluation.scores["challenger"]))
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        cells=tables(evaluation, resamples=resamples),
        pictures=pictures,
        colours=figures.COLOUR,
        paired=figures.paired(evaluation),
        distributions=figures.distributions(evaluation),
        matrices=[figures.r_matrix(evaluation, structure) for structure in structures],
        transfer={structure: _transfer(evaluation, structure) for structure in structures},
        names=TRANSFER,
    )


def markdown(evaluation: Evaluation, *, resamples: int = 4000) -> str:
    """The table of the report as Markdown: the Kubeflow summary, and what the command line prints."""
    rival = "champion" if evaluation.champion else "none"
    lines = [
        f"**{evaluation.task}**, learned last: {evaluation.new_instrument}; champion: {rival}; "
        f"runtime {evaluation.runtime}. Dice on frozen test cases, in source pixels, as served.",
        "",
        "| instrument | structure | cases | challenger | worst | champion | constant mask | skill | gain (90 % interval) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join(lines + [_line(cell) for cell in tables(evaluation, resamples=resamples)]) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign."""
    return f"{value:+.{digits}f}"


def _line(cell: CellTable) -> str:
    challenger, champion, constant = (cell.row(model) for model in ("challenger", "champion", "constant"))
    assert challenger is not None
    gain = "–"
    if cell.gain is not None:
        gain = f"{signed(cell.gain.estimate)} ({signed(cell.gain.low)} to {signed(cell.gain.high)})"
    values = [
        cell.instrument,
        cell.structure,
        str(challenger.cases),
        number(challenger.dice),
        number(challenger.worst),
        number(champion.dice if champion else None),
        number(constant.dice if constant else None),
        number(challenger.skill),
        gain,
    ]
    return "| " + " | ".join(values) + " |"


def _transfer(evaluation: Evaluation, structure: str) -> dict[str, float]:
    """The named transfers where every step learned a new instrument, else nothing: R is then not square."""
    names, values = matrix(evaluation.matrix, structure)
    if len({row.learned for row in evaluation.matrix}) != len(evaluation.matrix) or len(evaluation.matrix) < 2:
        return {}
    return transfer(values[:, : len(evaluation.matrix)]) if len(names) >= len(values) else {}
