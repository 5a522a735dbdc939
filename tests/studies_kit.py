"""A study that trains nothing, and rows as a study would give them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent
from parfocal.studies import output, running
from parfocal.studies.intervals import chosen, mean, metric
from parfocal.studies.running import StudyConfig
from parfocal.studies.study import CONSTANT, Cell, Data, Need, Place, Row, Scale
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


def at_smoke(name: str, folder: Path) -> output.Result:
    """Run a study at the scale `smoke` on phantoms into `folder`/out, and see that its tables and files are whole."""
    config = StudyConfig(study=name, scale="smoke")
    _, result = running.run(config, folder / "out", state=folder / "state", reporter=Silent())
    main = result.tables[0]
    assert CONSTANT in {*main.columns, *(line.name for line in main.lines)}
    ours = [entry.value for line in main.lines for entry in line.entries if entry.value is not None]
    assert len(ours) >= 8
    assert all(math.isfinite(value) for value in ours)
    learned = [row.metrics.get("dice", 0.0) for row in output.read_scores(folder / "out") if row.arm != CONSTANT]
    assert max(learned) > 0.3, "something was learned"
    for file in ("report.html", "summary.md", "scores.csv", "study.json", f"{main.name}.csv", f"{main.name}.svg"):
        assert (folder / "out" / file).stat().st_size
    return result
