"""The tables of `sequence` on scores that a person can work out."""

from pathlib import Path

import pytest
import studies_kit as kit

from parfocal.core.reporting import Silent
from parfocal.studies import sequence_tables as sequence
from parfocal.studies.data import prepare
from parfocal.studies.sequence import InTurn
from parfocal.studies.sequence_tables import FINETUNE, FIRST, order
from parfocal.studies.study import CONSTANT, Row
from parfocal.studies.tables import Table


def rows(r: list[list[float]], *, seed: int = 0) -> list[Row]:
    """R as rows of three patients an instrument; line 0 is the first model's."""
    return [
        kit.row(FINETUNE if step else FIRST, dice=dice, seed=seed, patient=patient, role=role, x=float(step))
        for step, line in enumerate(r)
        for role, dice in zip(order(seed), line, strict=True)
        for patient in range(3)
    ]


def line(tables: tuple[Table, ...], name: str, arm: str = FINETUNE) -> list[float | None]:
    found = next(table for table in tables if table.name == f"disc-{name}")
    return [entry.value for entry in next(one for one in found.lines if one.name == arm).entries]


R = [[0.9, 0.2, 0.2, 0.2], [0.8, 0.9, 0.2, 0.2], [0.7, 0.8, 0.7, 0.2], [0.6, 0.5, 0.4, 1.0]]


@pytest.mark.parametrize("seed", [0, 1])
def test_learned_kept_and_forgotten_follow_from_r(seed: int) -> None:
    tables = InTurn().tables(rows(R, seed=seed) + [kit.row(CONSTANT, dice=0.1, role=role) for role in sequence.ROLES])
    every, learned, kept, forgotten, worst = line(tables, "sequence")
    assert every == pytest.approx((0.6 + 0.5 + 0.4 + 1.0) / 4)
    assert learned == pytest.approx((0.9 + 0.7 + 1.0) / 3)
    assert kept == pytest.approx((0.6 + 0.5 + 0.4) / 3)
    assert forgotten == pytest.approx(((0.9 - 0.6) + (0.9 - 0.5) + (0.7 - 0.4)) / 3)
    assert worst == pytest.approx(0.4)
    assert [line(tables, f"r-{FINETUNE}", f"place {i}") for i in (1, 2, 3, 4)] == [pytest.approx(one) for one in R]


def test_every_seed_has_an_order_of_its_own_that_starts_anywhere() -> None:
    orders = [order(seed) for seed in range(30)]
    assert all(sorted(one) == sorted(sequence.ROLES) for one in orders)
    assert {one[0] for one in orders} == set(sequence.ROLES)


def test_more_labels_than_there_are_give_no_rows(tmp_path: Path) -> None:
    data = {
        role: prepare(kit.need(role, 24, 100 * place), role, None, tmp_path, Silent())
        for place, role in enumerate(sequence.ROLES[:2])
    }
    cell = next(c for c in InTurn().cells("quick", 1) if c.settings.get("labels") == 20)
    assert InTurn().run_cell(cell, data, _Nowhere(), Silent()) == []


class _Nowhere:
    @property
    def checkpoints(self) -> Path:
        raise AssertionError("nothing is trained")

    def once(self, *_: object) -> Path:
        raise AssertionError("nothing is trained")
