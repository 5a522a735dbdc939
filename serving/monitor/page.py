"""The page that a person opens: one HTML file that needs nothing else, and no script to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDTH, HEIGHT, EDGE = 640.0, 130.0, 6.0
"""Of a stream's picture, in its own units."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A stream's newest statistics as SVG coordinates.

    Attributes:
        line: ``x,y`` pairs of the statistic.
        threshold: its height, None where there is none.
        alarm: x of the observation at which the alarm began, if it is still in the picture.
        first, last: numbers of the observations at the left and the right edge.
        top: statistic at the upper edge.
    """

    line: str
    threshold: float | None
    alarm: float | None
    first: int
    last: int
    top: float


def picture(history: Sequence[Sequence[float]], threshold: float | None, alarm_at: int | None) -> Picture:
    """Lay a stream out; the threshold is always in the picture."""
    values = [value for _, value in history]
    top = 1.15 * max([*values, threshold or 0.0, 1.0])
    first, last = (int(history[0][0]), int(history[-1][0])) if history else (0, 0)

    def x(number: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (number - first) / max(last - first, 1)

    def y(value: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * value / top

    return Picture(
        line=" ".join(f"{x(number):.1f},{y(value):.1f}" for number, value in history),
        threshold=None if threshold is None else round(y(threshold), 1),
        alarm=round(x(alarm_at), 1) if alarm_at is not None and history and alarm_at >= first else None,
        first=first,
        last=last,
        top=top,
    )


class Page:
    """Renders the state."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("parfocal_serving.monitor", "ui"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        environment.filters.update(number=_number, moment=_moment, count=_count)
        environment.globals.update(picture=picture, width=WIDTH, height=HEIGHT)
        self._template = environment.get_template("page.html.j2")

    def render(self, state: Mapping[str, Any], *, nonce: str, now: float) -> str:
        """The whole page; `nonce` is the one that the answer's policy lets run."""
        alarms = [
            (instrument["name"], stream["name"])
            for instrument in state["instruments"]
            for stream in instrument["streams"]
            if stream["alarm"]
        ]
        return self._template.render(state=state, alarms=alarms, nonce=nonce, now=now)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _moment(value: float | None) -> str:
    """UTC, to the second: the page may be read far from the machine."""
    return "–" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
