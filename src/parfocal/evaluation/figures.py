"""Plots and overlays of the report, as inline SVG and JPEG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.core.scores import Evaluation
from parfocal.evaluation.forgetting import matrix
from parfocal.evaluation.tables import cell_names, of_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR = {"challenger": "#2a78d6", "champion": "#d97706", "constant": "#8a8f98", "truth": "#17a34a"}
_SIDE = 260
"""Side of an overlay in pixels."""


def paired(evaluation: Evaluation) -> str:
    """Dice of every case with champion and challenger, a panel a cell; points above the diagonal got better."""
    cells = cell_names(evaluation)
    figure, axes = _panels(len(cells), sharey=True)
    for axis, (instrument, structure) in zip(axes, cells, strict=False):
        scores = {
            model: {s.case: s.metrics["dice"] for s in of_cell(evaluation.scores[model], instrument, structure)}
            for model in evaluation.scores
        }
        rival = "champion" if scores.get("champion") else "constant"
        shared = sorted(scores["challenger"].keys() & scores[rival].keys())
        axis.plot([0, 1], [0, 1], color="#8a8f98", linewidth=0.8)
        axis.scatter(
            [scores[rival][case] for case in shared],
            [scores["challenger"][case] for case in shared],
            s=14,
            color=COLOUR["challenger"],
            alpha=0.7,
            linewidths=0,
        )
        axis.set(title=f"{instrument}, {structure}", xlabel=f"Dice, {rival}", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set_ylabel("Dice, challenger")
    return _svg(figure)


def distributions(evaluation: Evaluation) -> str:
    """Dice of every case by model, a panel a cell."""
    cells = cell_names(evaluation)
    figure, axes = _panels(len(cells), sharey=True)
    for axis, (instrument, structure) in zip(axes, cells, strict=False):
        models = [m for m in COLOUR if of_cell(evaluation.scores.get(m, ()), instrument, structure)]
        values = [
            [s.metrics["dice"] for s in of_cell(evaluation.scores[model], instrument, structure)] for model in models
        ]
        boxes = axis.boxplot(values, widths=0.55, patch_artist=True, showmeans=True, flierprops={"markersize": 3})
        for patch, model in zip(boxes["boxes"], models, strict=True):
            patch.set(facecolor=COLOUR[model], alpha=0.55)
        axis.set(title=f"{instrument}, {structure}", ylim=(0, 1.02))
        axis.set_xticks(range(1, len(models) + 1), models, rotation=20)
    axes[0].set_ylabel("Dice")
    return _svg(figure)


def r_matrix(evaluation: Evaluation, structure: str) -> str:
    """R as a heat map: a row a step, a column an instrument; empty where nobody measured."""
    names, values = matrix(evaluation.matrix, structure)
    figure, (axis,) = _panels(1, width=1.4 + 0.9 * len(names), height=1.0 + 0.55 * len(values))
    axis.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(values)), [f"after {row.learned}" for row in evaluation.matrix])
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.3f}"
        axis.text(column, row, text, ha="center", va="center", color="white" if value < 0.6 else "black")
    axis.set_title(f"R, {structure}")
    return _svg(figure)


def overlay(image: NDArray[np.uint8], contours: Mapping[str, NDArray[np.bool_]]) -> str:
    """A crop of a BGR photograph round all contours, as a data URI; keys of `contours` are keys of `COLOUR`."""
    union = np.logical_or.reduce(list(contours.values()))
    top, left, side = _window(union)
    crop = np.zeros((side, side, 3), np.uint8)
    rows, columns = min(side, image.shape[0] - top), min(side, image.shape[1] - left)
    crop[:rows, :columns] = image[top : top + rows, left : left + columns]
    picture = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if side > _SIDE else cv2.INTER_LINEAR)
    for name, mask in contours.items():
        inner = np.zeros((side, side), np.uint8)
        inner[:rows, :columns] = mask[top : top + rows, left : left + columns]
        large = cv2.resize(inner, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        red, green, blue = (int(COLOUR[name][i : i + 2], 16) for i in (1, 3, 5))
        cv2.drawContours(picture, lines, -1, (blue, green, red), 2, cv2.LINE_AA)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _window(union: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Top, left and side of a square with some room round a mask; the whole image for an empty one."""
    height, width = union.shape
    if not union.any():
        return 0, 0, max(height, width)
    left, top, columns, rows = cv2.boundingRect(union.astype(np.uint8))
    side = min(round(max(rows, columns) * 1.8) + 4, max(height, width))
    centre_row, centre_column = top + rows // 2, left + columns // 2
    return (
        int(np.clip(centre_row - side // 2, 0, max(height - side, 0))),
        int(np.clip(centre_column - side // 2, 0, max(width - side, 0))),
        side,
    )


def _panels(
    count: int, *, width: float | None = None, height: float = 2.9, sharey: bool = False
) -> tuple[Figure, Sequence[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width or 2.7 * max(count, 1) + 0.5, height), layout="constrained")
    axes = figure.subplots(1, max(count, 1), sharey=sharey, squeeze=False)[0]
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.title.set_fontsize(9)
        axis.xaxis.label.set_fontsize(8)
        axis.yaxis.label.set_fontsize(8)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an SVG element on a white ground, readable on a dark page too."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
