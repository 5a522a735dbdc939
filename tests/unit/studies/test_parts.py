"""Data sets by role, intervals, folds, patches, tables and the digest of code."""

import numpy as np
import pytest
from studies_kit import need, row, rows

from parfocal.core.errors import UsageError
from parfocal.preprocessing.shards import Arrays
from parfocal.studies import code, output, plots
from parfocal.studies.data import Source, assign
from parfocal.studies.frames import Frames, folds, patches, shuffle
from parfocal.studies.intervals import close_radius, difference, mean, metric, spread
from parfocal.studies.study import Cell, Data
from parfocal.studies.tables import Entry, Line, Table

DICE = metric("dice")
NEEDS = (need("first"), need("second"))


def sources(*names: str) -> dict[str, Source]:
    return {name: Source(folder=f"/{name}") for name in names}


def test_without_data_phantoms_serve_every_role() -> None:
    assert [(label, source) for _, label, source in assign(NEEDS, {}).values()] == [
        ("camera first", None), ("camera second", None)
    ]  # fmt: skip


def test_data_are_taken_by_role_or_else_in_their_order() -> None:
    by_role = assign(NEEDS, sources("second"))
    assert [(role, label) for role, (_, label, _) in by_role.items()] == [("second", "second")]
    in_order = assign(NEEDS, sources("DRISHTI", "RIM"))
    assert [(role, label) for role, (_, label, _) in in_order.items()] == [("first", "DRISHTI"), ("second", "RIM")]


@pytest.mark.parametrize("names", [("first", "RIM"), ("a", "b", "c")])
def test_names_that_fit_neither_way_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--data"):
        assign(NEEDS, sources(*names))


def test_a_mean_is_over_cases_and_its_interval_over_patients_and_seeds() -> None:
    values = [0.5, 0.6, 0.7, 0.8, 0.9]
    found = mean(rows("x", values), DICE)
    assert found is not None
    assert found.estimate == pytest.approx(0.7)
    assert 0.5 < found.low < 0.65 < 0.75 < found.high < 0.9
    steady = mean(rows("x", values, seeds=3), DICE)
    moving = mean(
        [row("x", dice=value + shift, seed=seed, patient=i) for seed, shift in enumerate((-0.1, 0, 0.1))
         for i, value in enumerate(values)], DICE,
    )  # fmt: skip
    assert steady is not None and moving is not None
    assert moving.high - moving.low > steady.high - steady.low, "seeds that disagree make it wider"


def test_images_of_one_patient_are_no_patients_of_their_own() -> None:
    alone = mean(rows("x", [0.2, 0.9] * 8), DICE)
    same = mean([row("x", dice=d, patient=i % 2) for i, d in enumerate([0.2, 0.9] * 8)], DICE)
    assert alone is not None and same is not None
    assert same.high - same.low > 2 * (alone.high - alone.low)


def test_a_difference_is_paired_and_no_cases_give_none() -> None:
    ours, theirs = rows("a", [0.2, 0.5, 0.9, 0.4]), rows("b", [0.1, 0.4, 0.8, 0.3])
    found = difference(ours, theirs, DICE)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert difference(ours[:1], theirs, DICE) is None
    assert mean([], DICE) is None


def test_best_worst_and_radius() -> None:
    assert spread(rows("a", [0.2, 0.4])) == pytest.approx((0.4, 0.2, 0.1414), abs=1e-3)
    assert close_radius(row("a")) == 100
    assert close_radius(row("a").model_copy(update={"metrics": {"radii_ratio": 1.1}})) == 0


def test_folds_hold_every_patient_once_and_smaller_parts_are_inside_larger_ones() -> None:
    names = [f"p{i}" for i in range(23)]
    dealt = folds(names * 2, 5, seed=1)
    assert sorted(name for fold in dealt for name in fold) == sorted(names)
    assert {len(fold) for fold in dealt} == {4, 5}
    assert shuffle(names, 0) != shuffle(names, 1)


def test_patches_are_cut_at_one_place_from_image_and_mask(tmp_path: object) -> None:
    mask = np.arange(2 * 16 * 16).reshape(2, 16, 16).astype(np.uint8)
    arrays = Arrays(np.repeat(mask[..., None], 3, 3), mask, ("a", "b"))
    cut = patches(Frames(Data("r", "r", None, "", False), "bone", arrays, ("p", "q")), 8, 5, seed=0)  # type: ignore[arg-type]
    assert cut.arrays.mask.shape == (10, 8, 8)
    assert np.array_equal(cut.arrays.image[..., 1], cut.arrays.mask)
    assert cut.patients == ("p",) * 5 + ("q",) * 5
    assert len({one.tobytes() for one in cut.arrays.mask}) > 5


def test_a_cell_survives_its_text() -> None:
    cell = Cell("t", ("a", "b"), "disc", {"seed": 3, "x": [1.5]})
    assert Cell.from_json(cell.to_json()) == cell


def test_the_digest_of_code_hears_no_comments() -> None:
    one = code._syntax('"""Doc."""\ndef f(x):\n    """Doc."""\n    return x  # why\n')
    assert one == code._syntax("def f(x):\n\n    return x\n")
    assert one != code._syntax("def f(x):\n    return -x\n")
    assert code.learning("parfocal.studies.instruments") != code.learning("parfocal.studies.localization")


def test_the_papers_figures_have_a_column_only_where_there_are_any() -> None:
    lines = (Line("a", (Entry(0.5, 0.4, 0.6, paper=0.7), Entry(1e-5, small=True))), Line("b", (Entry(), Entry(2.0))))
    table = Table("t", "T", "C", "arm", ("Dice", "p"), lines, (0,), "Dice")
    assert output.heads(table) == ["arm", "Dice", "paper", "p"]
    assert output.cells(table) == [["a", "0.500 [0.400, 0.600]", "0.700", "1.0e-05"], ["b", "–", "", "2.000"]]
    assert plots.draw(table).startswith("<svg")
    over = Table(
        "t", "T", "C", "n", ("Dice",), (Line("1", (Entry(0.5, paper=0.7),), 1.0), Line("2", (Entry(0.6),), 2.0)), (0,)
    )
    assert "Dice, paper" in plots.draw(over, page=False)
    with pytest.raises(ValueError, match="entries under"):
        Table("t", "T", "C", "arm", ("Dice", "p"), (Line("a", (Entry(),)),))
