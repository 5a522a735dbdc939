"""What a task segments and in which order. A structure inside another is looked for in the other's box."""

from __future__ import annotations

from dataclasses import dataclass

from parfocal.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Structure:
    """One thing to segment.

    Attributes:
        name: folder and output name.
        inside: the structure whose predicted box bounds the search, or None for the whole (trimmed) image.
        pieces: how many pieces it has in a picture at most; 0: any number.
        solid: it has no holes in a picture.
        absent: a picture may well not show it, as slices beside an organ do not: an empty mask is a label then, where
            otherwise it is taken for a mistake.
    """

    name: str
    inside: str | None = None
    pieces: int = 1
    solid: bool = True
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A modality and the cascade of structures found in it, outermost first.

    Attributes:
        modality: ``colour fundus photograph``, ``ct``, ``mr`` or ``x-ray``.
    """

    name: str
    modality: str
    structures: tuple[Structure, ...]

    def structure(self, name: str) -> Structure:
        for structure in self.structures:
            if structure.name == name:
                return structure
        known = ", ".join(s.name for s in self.structures)
        raise UsageError(f"task {self.name} has no structure '{name}'", expected=f"one of {known}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(structure.name for structure in self.structures)


TASKS = {
    "fundus": Task("fundus", "colour fundus photograph", (Structure("disc"), Structure("cup", inside="disc"))),
    "lung": Task("lung", "x-ray", (Structure("lung", pieces=2),)),
    "lung-ct": Task("lung-ct", "ct", (Structure("lung", pieces=2, absent=True),)),
    "prostate": Task("prostate", "mr", (Structure("prostate", absent=True),)),
    "bone": Task("bone", "ct", (Structure("bone", pieces=0, solid=False, absent=True),)),
    "vertebrae": Task("vertebrae", "mr", (Structure("vertebrae", pieces=0, solid=False, absent=True),)),
}


def task(name: str) -> Task:
    """The task of that name, or a UsageError that lists the known ones."""
    try:
        return TASKS[name]
    except KeyError:
        raise UsageError(f"unknown task '{name}'", expected=f"one of {', '.join(TASKS)}") from None
