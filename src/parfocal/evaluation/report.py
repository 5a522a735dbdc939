"""The report of an evaluation: one HTML file that needs nothing else, and a few lines of Markdown.

It says what was measured and not what follows from it: that is the gate's.
"""

from __future__ import annotations

from collections.abc import Sequence

from parfocal.core.scores import Evaluation
from parfocal.evaluation import figures
from parfocal.evaluation.crossings import crossings
from parfocal.evaluation.forgetting import matrix, transfers
from parfocal.evaluation.overlays import Picture
from parfocal.evaluation.statistics import patients_needed, power
from parfocal.evaluation.tables import CellTable, tables

DETAILS = (
    ("iou", "IoU", 3),
    ("hausdorff", "Hausdorff distance, pixels", 1),
    ("hd95", "HD95, pixels", 1),
    ("hausdorff_mm", "Hausdorff distance, millimetres", 3),
    ("hd95_mm", "HD95, millimetres", 3),
    ("cdr_error", "Error of the cup-to-disc ratio", 3),
    ("vertical_cdr_error", "Error of the vertical cup-to-disc ratio", 3),
    ("noc85", "Clicks until Dice is .85 (NoC@85; all that are allowed where it never is)", 2),
    ("noc85_reached", "Part of the cases that reach Dice .85 so", 2),
    ("noc90", "Clicks until Dice is .90 (NoC@90; all that are allowed where it never is)", 2),
    ("noc90_reached", "Part of the cases that reach Dice .90 so", 2),
    ("wrong", "Dice of a mask that is there already, the truth made wrong", 3),
    ("corrected", "Dice after one click in its largest error", 3),
)
"""Measures with a table of their own: name, title, digits."""
MARGIN = 0.02
"""Dice; what a test of this size could see is told for a loss of this much, the gate's default margin."""


def render(
    evaluation: Evaluation,
    cells: Sequence[CellTable] | None = None,
    pictures: Sequence[Picture] = (),
    remarks: Sequence[str] = (),
) -> str:
    """The report as one HTML document without outside references.

    Args:
        evaluation: what was measured.
        cells: its tables, made with other settings than the defaults.
        pictures: best and worst cases, in the order in which they are shown.
        remarks: sentences about the data that a reader should know.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    cells = tables(evaluation) if cells is None else cells
    environment = Environment(
        loader=PackageLoader("parfocal.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": number, "signed": signed, "percent": "{:.0%}".format}
    matrices = {name: matrix(evaluation.matrix, name) for name in dict.fromkeys(cell.structure for cell in cells)}
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        cells=cells,
        details=[detail for detail in DETAILS if any(detail[0] in row.measures for cell in cells for row in cell.rows)],
        sentences=[sentence(cell) for cell in cells],
        pictures=pictures,
        remarks=[*remarks, *clicked(evaluation)],
        colour=figures.COLOUR,
        label=figures.LABEL,
        level=next((cell.gain.level for cell in cells if cell.gain), 0.90),
        margin=MARGIN,
        sight=[_sight(cell) for cell in cells],
        gains=figures.gains(cells),
        paired=figures.paired(evaluation),
        distributions=figures.distributions(evaluation),
        crossings=crossings(evaluation),
        matrices=[(name, figures.heat_map(r), transfers(r)) for name, r in matrices.items()],
    )


def markdown(evaluation: Evaluation, cells: Sequence[CellTable] | None = None) -> str:
    """A summary: the Kubeflow page, and what the command line prints."""
    cells = tables(evaluation) if cells is None else cells
    level = next((cell.gain.level for cell in cells if cell.gain), 0.90)
    rival = f"champion `{evaluation.champion[:12]}`" if evaluation.champion else "no champion yet"
    heading = ["cell", "cases", "Dice", "worst", "champion", "constant mask", "skill", f"change, {level:.0%} interval"]
    used = ", ".join(
        f"{name} {test.cases} cases, used in {test.uses} decision{'' if test.uses == 1 else 's'} before"
        for name, test in evaluation.tests.items()
    )
    speed = ", ".join(f"{name} {ms:.1f} ms" for name, ms in evaluation.latency_ms.items())
    lines = [
        f"# Evaluation: {evaluation.task}, after {evaluation.new_instrument}",
        "",
        f"Challenger `{evaluation.challenger[:12]}`, {rival}. Dice on frozen test cases in source pixels, as answered "
        f"by the exported networks ({evaluation.runtime}). Numbers about a program; no diagnosis.",
        "",
        f"| {' | '.join(heading)} |",
        "| --- " * len(heading) + "|",
        *(f"| {' | '.join(_line(cell))} |" for cell in cells),
        "",
        f"Frozen tests: {used}.",
        "",
        f"One image takes (median): {speed}.",
        *(f"\n{line}" for line in (*clicked(evaluation), *(_clicks(cell) for cell in cells if clicked(evaluation)))),
    ]
    return "\n".join(lines) + "\n"


def sentence(cell: CellTable) -> str:
    """A cell in words, for a person who reads no tables."""
    rows = {row.model: row for row in cell.rows}
    own = rows["challenger"]
    cases = f"{own.cases} case{'' if own.cases == 1 else 's'}"
    people = f"{cell.patients} patient{'' if cell.patients == 1 else 's'}"
    said = f"{cell.instrument}, {cell.structure}: mean Dice {own.dice:.3f} on {cases} of {people}"
    if "champion" in rows:
        said += f"; the champion has {rows['champion'].dice:.3f}"
    if cell.gain is not None:
        gain = cell.gain
        said += f", a paired change of {gain.estimate:+.3f} ({gain.level:.0%} interval {_range(gain.low, gain.high)})"
    if "constant" in rows:
        flat = rows["constant"].dice
        said += f"; one mask given for every image has {flat:.3f}" + (", which is MORE" if flat > own.dice else "")
    return said + "."


def clicked(evaluation: Evaluation) -> tuple[str, ...]:
    """What has to be said of networks that answer clicks; nothing of others."""
    allowed = [score.metrics.get("clicks_allowed") for score in evaluation.scores["challenger"]]
    most = next((count for count in allowed if count is not None), None)
    if most is None:
        return ()
    return (
        "These networks answer clicks, and the clicks were placed with the truth's help: one a structure, on the "
        "innermost point of what was to be found, for every score and mask here; nobody clicked. For NoC each further "
        f"click fell into the largest error, at most {most:.0f} a case. The constant mask got none.",
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with its sign; a dash where there is none."""
    return "–" if value is None else f"{value:+.{digits}f}"


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}"


def _line(cell: CellTable) -> list[str]:
    challenger, champion, constant = (cell.row(model) for model in figures.LABEL if model != "truth")
    assert challenger is not None
    gain = cell.gain
    return [
        f"{cell.instrument} / {cell.structure}",
        str(challenger.cases),
        number(challenger.dice),
        number(challenger.measures["dice"].worst),
        number(champion.dice if champion else None),
        number(constant.dice if constant else None),
        number(challenger.skill),
        f"{gain.estimate:+.3f} ({_range(gain.low, gain.high)})" if gain else "–",
    ]


def _clicks(cell: CellTable) -> str:
    """NoC of a cell by model."""
    told = []
    for row in cell.rows:
        if "noc85" in row.measures:
            mean = {name: spread.mean for name, spread in row.measures.items()}
            found = (f"NoC@{t} {mean[f'noc{t}']:.2f} ({mean[f'noc{t}_reached']:.0%} get there)" for t in (85, 90))
            corrected = (
                f", one click takes a wrong mask from {mean['wrong']:.3f} to {mean['corrected']:.3f}"
                if "corrected" in mean
                else ""
            )
            told.append(f"{row.model} {', '.join(found)}{corrected}")
    return f"{cell.instrument} / {cell.structure}: {'; '.join(told)}."


def _sight(cell: CellTable) -> tuple[float, int] | None:
    """Chance that a true equal would pass at the margin, and the patients for four in five; None without pairs."""
    if cell.sd is None or cell.gain is None:
        return None
    level = cell.gain.level
    return power(cell.patients, cell.sd, MARGIN, level), patients_needed(cell.sd, MARGIN, level)
