"""What `segment` tells of its cases, as Markdown and as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from parfocal.core.types import Problem
from parfocal.evaluation.overlays import COLOURS
from parfocal.evaluation.segmentation import Effect, Segmented, measured, ranges, row, short
from parfocal.evaluation.suspicion import WARNING


def markdown(
    task: str, model: str, cases: Sequence[Segmented], problems: Sequence[Problem], remarks: Sequence[str] = ()
) -> str:
    """A summary: the Kubeflow page shows it."""
    levels = [case.suspicion.level for case in cases if case.suspicion is not None]
    lines = [
        f"# Masks: {task}",
        "",
        f"{len(cases)} segmented by bundle `{model[:12]}`, {len(problems)} could not be. {_warning(cases)}",
        *(f"\n{remark}" for remark in remarks),
    ]
    if levels:
        counted = ", ".join(f"{level} {levels.count(level)}" for level in ("raised", "some", "none", "not read"))
        lines += ["", f"Suspicion by published ranges: {counted}."]
        lines += ["", "| indicator | range | source |", "| --- | --- | --- |"]
        lines += [f"| {one.name} | {one.range} | {one.source} |" for one in ranges(cases)]
    for title, found in measured(cases):
        heading = "| structure | operation | chosen | cases | Dice on | off | change, 95 % interval |"
        lines += ["", f"Post-processing on and off, {title}:", "", heading, "| --- " * 7 + "|"]
        lines += [f"| {' | '.join(_cells(one))} |" for one in found]
    if problems:
        lines += ["", "Could not be segmented:", ""]
        lines += [f"* `{one.file.name}`: {one.reason}" + (f" ({one.next})" if one.next else "") for one in problems]
    return "\n".join(lines) + "\n"


def page(
    task: str, model: str, cases: Sequence[Segmented], problems: Sequence[Problem], remarks: Sequence[str] = ()
) -> str:
    """The same as one HTML document without outside references, with the outlines of the first cases."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("parfocal.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    rows = [row(case) for case in cases]
    return environment.get_template("segmentation.html.j2").render(
        task=task,
        model=model,
        warning=_warning(cases),
        remarks=remarks,
        columns=list(dict.fromkeys(column for one in rows for column in one)),
        rows=[{key: short(value) for key, value in one.items()} for one in rows],
        cases=cases,
        ranges=ranges(cases),
        measured=[(title, [_cells(one) for one in found]) for title, found in measured(cases)],
        problems=problems,
        colours=[f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in COLOURS],
        structures=list(dict.fromkeys(name for case in cases for name in case.result.get("masks", ()))),
    )


def _warning(cases: Sequence[Segmented]) -> str:
    eyes = any(case.suspicion is not None for case in cases)
    return WARNING if eyes else "These are outlines drawn by a program, for a clinician to look at, and no diagnosis."


def _cells(one: Effect) -> list[str]:
    change = f"{one.on - one.off:+.4f}"
    if one.change is not None:
        change = f"{one.change.estimate:+.4f} ({one.change.low:+.4f} to {one.change.high:+.4f})"
    chosen = "yes" if one.part else "no"
    return [one.structure, one.operation, chosen, str(one.cases), f"{one.on:.4f}", f"{one.off:.4f}", change]
