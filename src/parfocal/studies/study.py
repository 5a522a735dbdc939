"""What a study is: the data it needs, its cells, how one is run, and the tables that follow from all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.protocols import Reporter
from parfocal.studies.tables import Table

Scale = Literal["smoke", "quick", "paper"]
SCALES: tuple[Scale, ...] = ("smoke", "quick", "paper")
"""For CI, under a minute; for two cores, a quarter of an hour; the paper's protocol, for a GPU."""

CONSTANT = "constant mask"
"""The arm that sees no image."""


class Row(Config):
    """The scores of one case under one arm."""

    arm: str = Field(description="what was trained, and how")
    role: str = Field(description="which of the study's data sets the case is from")
    data: str = Field(description="that data set's name")
    structure: str
    seed: int
    case: str
    patient: str
    metrics: dict[str, float]
    side: Literal["train", "test"] = "test"
    x: float | None = Field(default=None, description="place on the study's axis, such as the number of patients")


@dataclass(frozen=True, slots=True)
class Need:
    """A data set that a study wants.

    Attributes:
        role: what it is for the study, such as ``first`` or ``lung``.
        label: its name when nobody gives data: then phantoms stand in.
        task: of the preprocessing.
        phantom: contents of phantom.json.
        settings: the run's settings for preprocessing (recipe, split, ...).
    """

    role: str
    label: str
    task: str
    phantom: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """A data set that is ready: a sealed dataset folder.

    Attributes:
        role: as in `Need`; `label`: its name in tables.
        checksum: of the dataset.
        phantom: nobody gave data, so these are simulated.
    """

    role: str
    label: str
    folder: Path
    checksum: str
    phantom: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One piece of a study.

    Attributes:
        title: for people.
        roles: the data sets it uses.
        structure: which must be labelled in all of them.
        settings: all that decides its result beside data and code: JSON values.
    """

    title: str
    roles: tuple[str, ...]
    structure: str
    settings: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.settings["seed"])

    def to_json(self) -> str:
        """Canonical text; `from_json` reads it."""
        values = {
            "title": self.title,
            "roles": self.roles,
            "structure": self.structure,
            "settings": dict(self.settings),
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        values = json.loads(text)
        return cls(values["title"], tuple(values["roles"]), values["structure"], values["settings"])


class Place(Protocol):
    """Where a cell works."""

    @property
    def checkpoints(self) -> Path:
        """Folder of this cell's checkpoints: a killed cell goes on from them."""
        ...

    def once(self, settings: Mapping[str, Any], roles: Sequence[str], make: Callable[[Path, Path], None]) -> Path:
        """A folder that several cells use, such as a pretrained encoder: made by the first that asks.

        Args:
            settings: all that decides it beside data and code.
            roles: data sets that it is made from.
            make: gets a folder to fill and a folder for checkpoints.
        """
        ...


class Study(Protocol):
    """One paper's question.

    Attributes:
        name, paper: what it is called and which papers ask it.
        shows: the question in a sentence.
        minutes: about how long it takes, by scale; on two cores, `paper` on one large GPU.
        notes: what a reader of the tables must know about the protocol.
    """

    name: str
    paper: str
    shows: str
    minutes: Mapping[Scale, float]
    notes: tuple[str, ...]

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        """The data sets, in the order in which --data gives them."""
        ...

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        """The grid; `seeds` repeats it with seeds 0 to `seeds` - 1."""
        ...

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        """Train what the cell says and score every case; `data` has the cell's roles."""
        ...

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        """Ours with intervals, the constant mask and the paper's figures beside them."""
        ...

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        """What this scale leaves out of the paper's protocol, a sentence each; none where it is complete."""
        ...
