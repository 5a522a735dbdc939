"""How the demo speaks on a console. Tables are in `tables`, a pipeline's progress in `follow`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from parfocal.models import ModelConfig

BESIDES_TRAINING = 2.0
"""Minutes for everything but training, on two cores."""
TRAINING = 1.5
"""Training takes so many times what its pictures alone do: it validates, and the endpoint answers meanwhile."""


@lru_cache(maxsize=1)
def console() -> Console:
    """The terminal; what is printed is kept, so that a run can be shown as a picture afterwards.

    It writes to the standard output of its first use: `kfp.local` takes the name over while it runs.
    """
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 120, record=True)


def save(file: Path) -> None:
    """Write everything that was printed as an SVG picture."""
    if file.parent.is_dir():
        console().save_svg(str(file), title="make demo")


def heading(text: str) -> None:
    """A rule with what comes now."""
    console().print()
    console().rule(f"[bold]{_plain(text)}", align="left")


def line(text: str) -> None:
    """One plain line; paths may hold brackets, so nothing in it is markup."""
    console().print(text, markup=False, soft_wrap=True)


def paragraph(text: str) -> None:
    """Sentences, broken between words where the terminal ends."""
    console().print(text, markup=False)


def welcome(out: Path, known: str, new: str, minutes: float) -> None:
    """What is about to be seen, in which order, and about how long it will take."""
    heading("Parfocal: a model that learns a new camera and keeps the old one")
    paragraph(
        f"This is what you will see. A first model learns camera {known}, is promoted, and answers at an endpoint. "
        f"New patients at {known} pass without an alarm. Then {new} comes, a camera that the model has never seen, "
        f"and the monitor raises the alarm. Labels of {new} arrive; a pipeline teaches the model {new} while requests "
        "keep coming; the gate decides; the endpoint swaps; and more patients come. "
        f"It takes about {minutes:.0f} minutes on this machine. Ctrl-C stops it, and everything it has started, at any "
        "time."
    )
    line(f"Everything goes to {out}.")


def minutes(pictures: int, model: ModelConfig) -> float:
    """About how long the demo takes here, measured in a few seconds: training sees so many pictures."""
    from parfocal.training.pace import pictures_a_second

    return TRAINING * pictures / pictures_a_second(model) / 60 + BESIDES_TRAINING


@contextmanager
def counter(unit: str) -> Iterator[Callable[[int, str], None]]:
    """A line that changes on a terminal; elsewhere one line each time it is called."""
    if not console().is_terminal:
        yield lambda done, text: line(f"  {unit} {done:>4}: {text}")
        return
    with console().status("") as status:
        yield lambda done, text: status.update(_plain(f"{unit} {done:>4}: {text}"))


def streams(instrument: Mapping[str, Any]) -> str:
    """Statistic and threshold of each of an instrument's drift streams."""
    parts = []
    for stream in instrument.get("streams", ()):
        limit = "no threshold" if stream["threshold"] is None else _shown(stream, "threshold")
        said = f"{stream['name']} {_shown(stream, 'statistic'):>4} of {limit}"
        parts.append(said + (" ALARM" if stream["alarm"] else ""))
    return ", ".join(parts)


def _shown(stream: Mapping[str, Any], what: str) -> str:
    """A CUSUM is of the order of 10, the MMD of a window of the order of 0.01."""
    small = stream["threshold"] is not None and stream["threshold"] < 1
    return f"{stream[what]:.4f}" if small else f"{stream[what]:.1f}"


def alarm(name: str, streams: Sequence[Mapping[str, Any]]) -> None:
    """Which streams raised the alarm, and after how many cases."""
    width = 1 + max(len(stream["name"]) for stream in streams)
    for stream in streams:
        console().print(f"[bold red]ALARM[/] {_plain(name)}, {stream['name'] + ':':<{width}}", end=" ")
        limit = "" if stream["threshold"] is None else f" over {_shown(stream, 'threshold')}"
        rate = "" if stream["arl0"] is None else f"; one false alarm in {stream['arl0']:,.0f} cases was allowed"
        line(f"statistic {_shown(stream, 'statistic'):>4}{limit} at case {stream['alarm_at']}{rate}")


def addresses(services: Mapping[str, str]) -> None:
    """Where the pages are."""
    for name, address in services.items():
        line(f"  {name:<13} {address}")


def approval(command: str) -> None:
    """How a person takes an inconclusive decision upon themselves."""
    line("\nThe gate cannot say. Whoever has looked at the report may decide, with name and reason in the ledger:\n")
    line(command)


def by_hand(silence: str, command: str) -> None:
    """Why there was no alarm, and how a person starts the retrain without one."""
    line(f"No alarm: {silence}.")
    line("Nothing starts a retrain by itself then. A person who knows that the camera is new would run:\n")
    line(command)
    line("\nThe demo does the same now.")


def page(address: str, name: str) -> None:
    """Where a person labels, and what to do there."""
    console().print(f"[bold]{_plain(address)}[/]", soft_wrap=True)
    paragraph(
        f"Open it on this machine. N takes the next case of {name}. Training cases begin with the model's masks: click "
        "where the disc or the cup should be (left) or should not be (right), brush the last pixels, A accepts. Test "
        "cases are drawn by hand, an ellipse (L) for each structure. ? shows every key. The retrain starts with the "
        "last label."
    )


def logs(out: Path) -> None:
    """Where what was written can be read, of a demo that did not come to its end."""
    places = {"services": out / "state" / "logs", "first model": out / "pipelines", "retrain": out / "state" / "runs"}
    found = {what: place for what, place in places.items() if place.is_dir()}
    line("everything that was started is stopped" + ("; logs:" if found else ""))
    for what, place in found.items():
        line(f"  {what:<13} {place}")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
