"""The page that a person opens: one HTML file that needs nothing else, and no script to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDTH, HEIGHT, EDGE = 640.0, 130.0, 6.0
"""Of a stream's picture, in its own units."""
SPAN, LABELS, TOP, LANE = 1080.0, 110.0, 20.0, 18.0
"""Of the time line: width, room for the instruments' names, for the versions, and height of an instrument."""

MANY = 1_000_000
"""Cases beyond which a mean run length says "never, as far as anybody can tell": a small reference extrapolates."""


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
    top = 1.15 * max([*values, threshold or 1.0])
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


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in a lane: SVG coordinates, and what it was."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What happened at one instrument."""

    name: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Alarms and retrains by instrument under the champions' reigns, as SVG coordinates.

    Attributes:
        champions: x of each takeover and the version that took over.
        since, until: unix seconds at the left and the right edge.
    """

    lanes: tuple[Lane, ...]
    champions: tuple[tuple[float, str], ...]
    height: float
    since: float
    until: float


def time_line(past: Mapping[str, Any], now: float) -> TimeLine | None:
    """Lay the history out, from its first event to now; None where nothing has happened yet."""
    spans = [("alarm", one) for one in past["alarms"]] + [("retrain", one) for one in past["retrains"]]
    starts = [one["since"] for _, one in spans] + [one["since"] for one in past["champions"]]
    if not starts:
        return None
    since = float(min(starts))
    scale: float = (SPAN - LABELS - EDGE) / max(now - since, 1.0)

    def x(moment: float) -> float:
        return round(LABELS + scale * (min(max(moment, since), now) - since), 1)

    def bar(kind: str, one: Mapping[str, Any]) -> Bar:
        end = now if one["until"] is None else one["until"]
        said = f"{kind}{' of ' + one['stream'] if kind == 'alarm' else ''}: {_moment(one['since'])} to "
        return Bar(x(one["since"]), max(2.0, x(end) - x(one["since"])), kind, said + _until(one["until"]))

    names = sorted({one["instrument"] for _, one in spans})
    lanes = tuple(
        Lane(name, TOP + LANE * i, tuple(bar(kind, one) for kind, one in spans if one["instrument"] == name))
        for i, name in enumerate(names)
    )
    takeovers = tuple((x(one["since"]), str(one["version"])) for one in past["champions"])
    return TimeLine(lanes, takeovers, TOP + LANE * len(lanes) + EDGE, since, now)


def alarmed_first(instruments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Instruments in alarm before the others, both in the order that they have."""
    return sorted(instruments, key=lambda one: not any(stream["alarm"] for stream in one["streams"]))


def between(low: float | None, high: float | None) -> str:
    """An interval of cases in words; empty where it has neither end."""
    if low is None:
        return "" if high is None else f"at most {_cases(high)}"
    if high is None:
        return f"{_cases(low)} or more"
    return _cases(low) if low > MANY else f"{_cases(low)} to {_cases(high)}"


def _until(moment: float | None) -> str:
    return "now" if moment is None else _moment(moment)


class Page:
    """Renders the state."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("parfocal_serving.monitor", "ui"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        environment.filters.update(number=_number, moment=_moment, count=_count, cases=_cases)
        environment.globals.update(picture=picture, time_line=time_line, width=WIDTH, height=HEIGHT, span=SPAN)
        environment.globals.update(between=between, alarmed_first=alarmed_first, followed=followed)
        self._template = environment.get_template("page.html.j2")

    def render(
        self, state: Mapping[str, Any], past: Mapping[str, Any], *, nonce: str, now: float, folder: str = ""
    ) -> str:
        """The whole page, of what is and what was.

        Args:
            nonce: the one that the answer's policy lets run.
            now: unix seconds.
            folder: PARFOCAL_STATE for commands that a person is to type; "" leaves it out.
        """
        alarms = [
            (instrument["name"], stream["name"])
            for instrument in state["instruments"]
            for stream in instrument["streams"]
            if stream["alarm"]
        ]
        return self._template.render(state=state, past=past, alarms=alarms, nonce=nonce, now=now, folder=folder)


def followed(run: Mapping[str, Any], past: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first champion that took over after a run had ended; None where none has."""
    later = [one for one in past["champions"] if run["ended"] is not None and one["since"] >= run["ended"]]
    return min(later, key=lambda one: float(one["since"]), default=None)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _cases(value: float) -> str:
    return f"more than {MANY:,}" if value > MANY else _count(value)


def _moment(value: float | str | None) -> str:
    """UTC, to the second: the page may be read far from the machine. Seconds, or ISO 8601 as a file has it."""
    if isinstance(value, str):
        try:
            return _moment(datetime.fromisoformat(value).timestamp())
        except ValueError:
            return value or "–"
    return "–" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
