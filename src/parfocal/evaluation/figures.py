"""Plots of the report, as SVG that takes its ink from the page and so is readable on a light and on a dark one."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parfocal.core.scores import Evaluation
from parfocal.evaluation.forgetting import Matrix
from parfocal.evaluation.tables import MODELS, CellTable, cell_names, of_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR = {"challenger": "#2f7fd1", "champion": "#d97a1c", "constant": "#8a8f98", "truth": "#2fbf71"}
"""Told apart by the colour-blind (blue, orange, grey, green beside them) and visible on white and on black."""
LABEL = {"challenger": "challenger", "champion": "champion", "constant": "constant mask", "truth": "truth"}

_INK, _LINE = "#0a0b0c", "#0d0e0f"
"""Stand-ins in the figure for what the page decides: text and axes, and grid lines."""
_LOSS, _RED = 0.02, "#d64545"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), _INK
    ),
}


def paired(evaluation: Evaluation) -> str:
    """Dice of every case under the champion (without one: the constant mask) and the challenger, a line a case.

    A panel a cell; cases that lose more than 0.02 have red lines, the means a strong one.
    """
    cells = cell_names(evaluation)
    figure, axes = _panels(len(cells), width=2.2, height=2.9)
    for axis, cell in zip(axes, cells, strict=True):
        found = {m: {s.case: s.metrics["dice"] for s in of_cell(evaluation.scores.get(m, ()), *cell)} for m in MODELS}
        rival = "champion" if found["champion"] else "constant"
        shared = sorted(found["challenger"].keys() & found[rival].keys())
        before = np.array([found[rival][case] for case in shared])
        after = np.array([found["challenger"][case] for case in shared])
        lost = after < before - _LOSS
        ends = np.stack([before, after])
        axis.plot([0, 1], ends[:, ~lost], color=COLOUR["challenger"], alpha=0.35, linewidth=0.9)
        axis.plot([0, 1], ends[:, lost], color=_RED, linewidth=1.3)
        for x, values, model in ((0, before, rival), (1, after, "challenger")):
            axis.scatter(np.full(len(values), x), values, s=11, color=COLOUR[model], linewidths=0, zorder=3)
        axis.plot([0, 1], ends.mean(axis=1), color=_INK, linewidth=2, marker="D", markersize=5, zorder=4)
        axis.set_xticks([0, 1], [LABEL[rival], "challenger"])
        axis.set(title=_title(*cell), xlim=(-0.3, 1.3), ylim=_limits(ends))
    return _svg(figure, "paired")


def distributions(evaluation: Evaluation) -> str:
    """Dice of every case by model: box (quartiles and median), whiskers to 1.5 times its height, and the cases."""
    cells = cell_names(evaluation)
    figure, axes = _panels(len(cells), width=2.5, height=2.7)
    for axis, cell in zip(axes, cells, strict=True):
        found = {m: np.array([s.metrics["dice"] for s in of_cell(evaluation.scores.get(m, ()), *cell)]) for m in MODELS}
        found = {model: values for model, values in found.items() if len(values)}
        places = range(len(found))
        boxes = axis.boxplot(list(found.values()), positions=places, widths=0.5, patch_artist=True, showfliers=False)
        for line in (line for part in ("whiskers", "caps", "medians") for line in boxes[part]):
            line.set(color=_INK, linewidth=1)
        for place, box, (model, values) in zip(places, boxes["boxes"], found.items(), strict=True):
            box.set(facecolor=COLOUR[model], alpha=0.35, linewidth=0)
            spread = 0.3 * (np.arange(len(values)) * 0.618034 % 1 - 0.5)  # golden ratio: even without drawing lots
            axis.scatter(place + spread, values, s=9, color=COLOUR[model], linewidths=0, zorder=3)
        axis.set_xticks(places, [LABEL[model].replace(" ", "\n") for model in found])
        axis.set(title=_title(*cell), ylim=_limits(*found.values()))
    return _svg(figure, "distributions")


def gains(cells: Sequence[CellTable]) -> str:
    """Paired change of Dice with its interval, a line a cell; empty where there is no champion to be paired with."""
    shown = [(cell, cell.gain) for cell in cells if cell.gain is not None]
    if not shown:
        return ""
    figure, (axis,) = _panels(1, width=6.5, height=0.75 + 0.34 * len(shown))
    for place, (_, gain) in enumerate(shown):
        axis.plot([gain.low, gain.high], [place, place], color=COLOUR["challenger"], linewidth=3, solid_capstyle="butt")
        axis.plot(gain.estimate, place, "D", color=_INK, markersize=5)
    axis.axvline(0, color=_INK, linewidth=1)
    axis.set_yticks(range(len(shown)), [_title(cell.instrument, cell.structure) for cell, _ in shown])
    axis.set(ylim=(len(shown) - 0.5, -0.5), xlabel="Dice of challenger less Dice of champion", ylabel="")
    return _svg(figure, "gains")


def heat_map(r: Matrix) -> str:
    """R of one structure: a row a step, a column an instrument; a frame round each instrument's own step."""
    steps, columns = r.values.shape
    figure, (axis,) = _panels(1, width=1.8 + 0.95 * columns, height=0.7 + 0.45 * steps)
    edges = np.arange(columns + 1) - 0.5, np.arange(steps + 1) - 0.5
    axis.pcolormesh(*edges, np.ma.masked_invalid(r.values), vmin=0, vmax=1, cmap="cividis")
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    axis.set_xticks(range(columns), r.instruments)
    axis.set_yticks(range(steps), [f"{step + 1}. {name}" for step, name in enumerate(r.learned)])
    axis.set(ylabel="")
    for (row, column), value in np.ndenumerate(r.values):
        blank = bool(np.isnan(value))
        ink = _INK if blank else "#ffffff" if value < 0.6 else "#111111"
        weight = "bold" if r.first[column] == row else "normal"
        axis.text(column, row, "–" if blank else f"{value:.3f}", ha="center", va="center", color=ink, fontweight=weight)
    return _svg(figure, "matrix-" + "-".join(r.instruments))


def _panels(count: int, *, width: float, height: float, across: int = 4) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels of that size in inches, `across` a row."""
    import matplotlib
    from matplotlib.figure import Figure

    columns = min(count, across)
    rows = -(-count // across)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns + 0.4, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for spare in axes[count:]:
        spare.set_visible(False)
    for first in axes[::columns]:
        first.set_ylabel("Dice")
    return figure, axes[:count]


def _limits(*values: Any) -> tuple[float, float]:
    """From a round number under the lowest value to a little over 1."""
    lowest = float(np.min(np.concatenate([np.ravel(part) for part in values])))
    return (np.floor(lowest * 5) / 5 if lowest > 0 else -0.03), 1.02


def _title(instrument: str, structure: str) -> str:
    return f"{instrument}, {structure}"


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element: same bytes for the same figure, ids that no other figure of the page has."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    svg = re.sub(r' id="[a-zA-Z0-9.]+_[0-9]+"', "", svg)
    return svg.replace(_INK, "currentColor").replace(_LINE, "var(--line, #d5dae0)")
