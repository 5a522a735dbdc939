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
    """

    name: str
    inside: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A modality and the cascade of structures found in it, outermost first."""

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
}


def task(name: str) -> Task:
    """The task of that name, or a UsageError that lists the known ones."""
    try:
        return TASKS[name]
    except KeyError:
        raise UsageError(f"unknown task '{name}'", expected=f"one of {', '.join(TASKS)}") from None
