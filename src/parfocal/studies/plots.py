"""A plot of a table: lines over an axis, or a dot with its interval for each row; the paper's figures hollow beside."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.studies.tables import Entry, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2f7fd1", "#d97a1c", "#2fbf71", "#a45bd6", "#8a8f98")
"""Told apart by the colour-blind and visible on white and on black."""
_PAPER = "#d64545"
_INK = "#0a0b0c"
"""Stand-in for the page's own colour of text."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.alpha": 0.25, "axes.titlesize": 9.5,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}  # fmt: skip


def draw(table: Table, *, page: bool = True) -> str:
    """The columns that the table names, as an <svg> element.

    Args:
        table: with `plot`.
        page: take the ink from the page that it stands in; else black on white, as a file of its own.
    """
    import matplotlib

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": table.name}):
        figure = _over_axis(table) if all(line.x is not None for line in table.lines) else _dots(table)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=page, metadata={"Date": None, "Creator": None})
    if not page:
        return text.getvalue()
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    return re.sub(r' id="[a-zA-Z0-9.]+_[0-9]+"', "", svg).replace(_INK, "currentColor")


def _over_axis(table: Table) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    for place, colour in zip(table.plot, COLOURS * len(table.plot), strict=False):
        points = _points(table, place)
        if len(points):
            xs, values, lows, highs = points.T
            axis.plot(xs, values, "o-", color=colour, markersize=4, label=table.columns[place])
            axis.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
        told = [(line.x, line.entries[place].paper) for line in table.lines if line.entries[place].paper is not None]
        if told:
            said = f"{table.columns[place]}, paper"
            axis.plot(*zip(*told, strict=True), "o--", color=colour, alpha=0.6, markerfacecolor="none", label=said)
    axis.set(xlabel=table.head, ylabel=table.unit)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _points(table: Table, place: int) -> NDArray[np.float64]:
    """Place on the axis, ours, and the ends of its interval, of each line of a column: [lines, 4]."""
    found = []
    for line in table.lines:
        entry = line.entries[place]
        if entry.value is not None and line.x is not None:
            low, high = (entry.value if end is None else end for end in (entry.low, entry.high))
            found.append((line.x, entry.value, low, high))
    return np.array(found, np.float64)


def _dots(table: Table) -> Figure:
    from matplotlib.figure import Figure

    panels = len(table.plot)
    figure = Figure(figsize=(2.6 + 2.1 * panels, 0.9 + 0.32 * len(table.lines)), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for place, axis in zip(table.plot, axes, strict=True):
        for y, line in enumerate(table.lines):
            _dot(axis, y, line.entries[place])
        axis.set(title=table.columns[place], xlabel=table.unit)
        axis.margins(x=0.12)
    axes[0].set_yticks(range(len(table.lines)), [line.name for line in table.lines])
    axes[0].set_ylim(len(table.lines) - 0.5, -0.5)
    return figure


def _dot(axis: Axes, y: int, entry: Entry) -> None:
    if entry.value is not None:
        if entry.low is not None and entry.high is not None:
            axis.plot([entry.low, entry.high], [y, y], color=COLOURS[0], linewidth=2.5, alpha=0.5)
        axis.plot(entry.value, y, "o", color=COLOURS[0], markersize=5)
    if entry.paper is not None:
        axis.plot(entry.paper, y, "o", color=_PAPER, markerfacecolor="none", markersize=6)
