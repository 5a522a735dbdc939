"""What several verbs take, and how they find it: folders, keys, champions, the tracked run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.core import manifest

if TYPE_CHECKING:
    from parfocal.adapters import Platform
    from parfocal.core.protocols import Run
    from parfocal.steps.config import RunConfig

FOLDER = click.Path(path_type=Path, file_okay=False)
OUT = click.option("--out", required=True, type=FOLDER, help="Folder to write; it must not exist.")
KEY = click.option(
    "--key",
    default="",
    help="Idempotency key. Default: from the inputs and settings, so that the same "
    "command again goes on where it was stopped.",
)


def memory(which: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option of a verb that leaves exemplars."""
    return click.option("--memory", type=FOLDER, help=f"Where {which} goes. Default: OUT-memory.")


def champion(reference: str, task: str) -> Path:
    """A bundle folder as it stands, or a version or alias fetched from the model store."""
    if Path(reference).is_dir():
        return Path(reference)
    from parfocal.adapters import connect

    platform = connect()
    return platform.models.fetch(task, reference, platform.settings.state / "models")


@contextmanager
def tracked(name: str, key: str) -> Iterator[tuple[Platform, Run]]:
    """The platform, and a run on it that is joined or opened."""
    from parfocal.adapters import connect

    platform = connect()
    with platform.tracker.run(name, key=key) as run:
        yield platform, run


def key(step: str, config: RunConfig, inputs: Sequence[Path]) -> str:
    """The same step on the same inputs with the same settings has the same key."""
    parts = [step, config.digest(), *(manifest.read(folder).checksum for folder in inputs)]
    return f"{step}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def beside(out: Path) -> Path:
    """Where the memory of a bundle goes when nobody says."""
    return out.with_name(f"{out.name}-memory")
