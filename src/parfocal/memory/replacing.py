"""A memory that takes the place of another, whose pictures are to be gone for good.

NAME            the memory
NAME-purged     the new one, until it has the place
.NAME.old       the old one, from when the new one is whole until it is deleted
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def replace(place: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make the new folder beside, whole, then change places and delete the old one.

    Killed before the places change, the memory is the old one, and the same call begins anew. Killed later, whoever
    looks at the memory next finishes it (`finish`).
    """
    fresh, old = _beside(place)
    shutil.rmtree(fresh, ignore_errors=True)
    write(fresh)
    place.rename(old)
    finish(place)


def finish(place: Path) -> None:
    """Finish what a killed `replace` left: an old folder that was set aside says that the new one is whole.

    Of two who finish at once each does what the other has not.
    """
    place = Path(place).resolve()
    fresh, old = _beside(place)
    if old.exists():
        if not place.exists():
            with suppress(FileNotFoundError):  # somebody else was quicker
                fresh.rename(place)
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}-purged"), place.with_name(f".{place.name}.old")
