"""What a study leaves: CSV for programs, Markdown and one HTML page for people, a plot a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from parfocal import __version__
from parfocal.core.errors import UsageError
from parfocal.studies import plots
from parfocal.studies.intervals import LEVEL
from parfocal.studies.study import Row
from parfocal.studies.tables import Entry, Table

REPORT, SUMMARY, SCORES, ABOUT = "report.html", "summary.md", "scores.csv", "study.json"


@dataclass(frozen=True, slots=True)
class Result:
    """All that is shown of a study.

    Attributes:
        phantoms: names of the data sets that are simulated.
        data: checksum by name.
        hardware, minutes: of the cells, wherever and whenever they ran.
        cuts: what the scale leaves out of the paper's protocol; `left`: what the data do.
    """

    study: str
    paper: str
    shows: str
    scale: str
    seeds: int
    phantoms: tuple[str, ...]
    data: Mapping[str, str]
    cuts: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]
    hardware: str
    minutes: float
    tables: tuple[Table, ...]


def refuse_existing(out: Path) -> None:
    """Say so before hours of work, not after."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("the output is already there", where=out, next="name another folder, or remove this one")


def write(result: Result, rows: Sequence[Row], folder: Path) -> None:
    """Fill a folder: report.html, summary.md, scores.csv, study.json, and NAME.csv and NAME.svg of each table."""
    about = _about(result)
    (folder / REPORT).write_text(html(result, about))
    (folder / SUMMARY).write_text(markdown(result, about))
    (folder / SCORES).write_text(_scores(rows))
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    for table in result.tables:
        (folder / f"{table.name}.csv").write_text(comma_separated(table))
        if table.plot:
            (folder / f"{table.name}.svg").write_text(plots.draw(table, page=False))


def markdown(result: Result, about: Mapping[str, object]) -> str:
    """The study for a terminal, a repository or the Kubeflow page."""
    lines = [f"# Study: {result.study} (paper {result.paper})", "", result.shows, "", f"{_made(about)}"]
    if result.phantoms:
        lines += ["", f"**Simulated images**, not patients': {', '.join(result.phantoms)}."]
    for table in result.tables:
        named = heads(table)
        lines += ["", f"## {table.title}", "", f"| {' | '.join(named)} |", "| --- " * len(named) + "|"]
        lines += [f"| {' | '.join(line)} |" for line in cells(table)]
        lines += ["", table.caption]
    for title, remarks in (
        ("Left out of the paper's protocol", (*result.cuts, *result.left)),
        ("Notes", _notes(result)),
    ):
        if remarks:
            lines += ["", f"## {title}", "", *(f"- {remark}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def html(result: Result, about: Mapping[str, object]) -> str:
    """The study as one document without outside references."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("parfocal.studies"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    shown = [(table, heads(table), cells(table), plots.draw(table) if table.plot else "") for table in result.tables]
    template = environment.get_template("study.html.j2")
    return template.render(result=result, made=_made(about), notes=_notes(result), tables=shown)


def read_scores(folder: Path) -> list[Row]:
    """The rows that `write` put into scores.csv."""
    with (folder / SCORES).open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    fields = [name for name in Row.model_fields if name != "metrics"]
    rows = []
    for line in lines:
        metrics = {name: float(text) for name, text in line.items() if name not in fields and text}
        values = {name: line[name] for name in fields if line[name]}
        rows.append(Row.model_validate({**values, "metrics": metrics}))
    return rows


def cells(table: Table) -> list[list[str]]:
    """The table's text: after each column for which the paper says anything stands one with what it says."""
    told = _told(table)
    return [
        [line.name, *(text for place, entry in enumerate(line.entries) for text in _texts(entry, place in told))]
        for line in table.lines
    ]


def heads(table: Table) -> list[str]:
    """What stands over those columns."""
    told = _told(table)
    named = (
        head for place, name in enumerate(table.columns) for head in ([name, "paper"] if place in told else [name])
    )
    return [table.head, *named]


def comma_separated(table: Table) -> str:
    """A line a number: row, column, ours, low, high, paper."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.head or "row", "column", "ours", "low", "high", "paper"])
    for line in table.lines:
        for column, entry in zip(table.columns, line.entries, strict=True):
            values = (entry.value, entry.low, entry.high, entry.paper)
            writer.writerow([line.name, column, *("" if value is None else f"{value:.6g}" for value in values)])
    return text.getvalue()


def _texts(entry: Entry, told: bool) -> list[str]:
    return [entry.text(), entry.paper_text] if told else [entry.text()]


def _told(table: Table) -> set[int]:
    return {i for line in table.lines for i, entry in enumerate(line.entries) if entry.paper is not None}


def _notes(result: Result) -> tuple[str, ...]:
    return (
        f"In brackets: {LEVEL:.0%} intervals by bootstrap over patients and seeds; with one seed, over patients alone.",
        "Scores are in pixels of the frame that the network sees, as the papers score, not of the source image.",
        *result.notes,
    )


def _made(about: Mapping[str, object]) -> str:
    return (
        f"Scale {about['scale']}, {about['seeds']} seed{'' if about['seeds'] == 1 else 's'}; {about['date']}, "
        f"{about['minutes']} minutes on {about['hardware']}, Parfocal {about['version']}. "
        "Numbers about a program; no diagnosis."
    )


def _about(result: Result) -> dict[str, object]:
    return {
        "study": result.study,
        "paper": result.paper,
        "scale": result.scale,
        "seeds": result.seeds,
        "data": dict(result.data),
        "phantoms": list(result.phantoms),
        "left_out": [*result.cuts, *result.left],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "hardware": result.hardware,
        "minutes": result.minutes,
        "version": __version__,
    }


def _scores(rows: Iterable[Row]) -> str:
    rows = list(rows)
    measures = sorted({name for row in rows for name in row.metrics})
    fields = [name for name in Row.model_fields if name != "metrics"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fields, *measures])
    for row in rows:
        values = [getattr(row, name) for name in fields]
        writer.writerow([*values, *(f"{row.metrics[name]:.6g}" if name in row.metrics else "" for name in measures)])
    return text.getvalue()
