"""A study that trains nothing, and rows as a study would give them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.studies.intervals import chosen, mean, metric
from parfocal.studies.study import Cell, Data, Need, Place, Row, Scale
from parfocal.studies.tables import Entry, Line, Table

SCORES = {"dice": 0.9, "iou": 0.8, "hausdorff": 3.0, "hd95": 2.0, "row_hausdorff_legacy": 1.0, "radii_ratio": 1.0}


def row(arm: str, *, dice: float = 0.9, seed: int = 0, patient: int = 0, **more: object) -> Row:
    values = {"role": "first", "data": "A", "structure": "disc"} | more
    metrics = SCORES | {"dice": dice}
    return Row(arm=arm, seed=seed, case=f"c{patient}", patient=f"p{patient}", metrics=metrics, **values)


def rows(arm: str, dice: Sequence[float], *, seeds: int = 1, **more: object) -> list[Row]:
    """A patient a value, the same in every seed."""
    return [row(arm, dice=value, seed=seed, patient=i, **more) for seed in range(seeds) for i, value in enumerate(dice)]


def need(role: str, patients: int = 16, first: int = 0) -> Need:
    phantom = {"instrument": "A", "patients": [first, patients], "seed": 3}
    return Need(role, f"camera {role}", "fundus", phantom, {"recipe": {"size": 32}})


class Toy:
    """Two cells a seed; each writes down that it was run, and shares a part with the others."""

    name = "toy"
    paper = "none"
    shows = "Does the machinery work?"
    minutes: Mapping[Scale, float] = {"smoke": 0, "quick": 0, "paper": 0}
    notes = ("A note.",)

    def __init__(self, log: Path, *, fails: str = "") -> None:
        self.log, self.fails = log, fails

    def needs(self, scale: Scale) -> tuple[Need, ...]:
        return (need("first"),)

    def cells(self, scale: Scale, seeds: int) -> tuple[Cell, ...]:
        return tuple(
            Cell(f"{arm}, seed {seed}", ("first",), "disc", {"arm": arm, "seed": seed, "scale": scale})
            for seed in range(seeds)
            for arm in ("ours", "theirs")
        )

    def run_cell(self, cell: Cell, data: Mapping[str, Data], place: Place, reporter: Reporter) -> list[Row]:
        if self.fails == cell.title:
            place.checkpoints.mkdir(parents=True)
            (place.checkpoints / "half").touch()
            raise KeyboardInterrupt
        self.note(cell.title)
        shared = place.once({"what": "part"}, ["first"], lambda folder, _: self._part(folder))
        assert (shared / "part").read_text() == "whole"
        return rows(str(cell.settings["arm"]), [0.8, 0.9, 1.0] if cell.settings["arm"] == "ours" else [0.5, 0.6, 0.7])

    def tables(self, rows: Sequence[Row]) -> tuple[Table, ...]:
        lines = tuple(
            Line(arm, (Entry.of(mean(chosen(rows, arm=arm), metric("dice")), 0.75),)) for arm in ("ours", "theirs")
        )
        return (Table("dice", "Dice", "A caption.", "arm", ("Dice",), lines, (0,), "Dice"),)

    def cuts(self, scale: Scale) -> tuple[str, ...]:
        return ("everything",)

    def note(self, what: str) -> None:
        with self.log.open("a") as stream:
            stream.write(json.dumps(what) + "\n")

    def ran(self) -> list[str]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def _part(self, folder: Path) -> None:
        self.note("part")
        (folder / "part").write_text("whole")
