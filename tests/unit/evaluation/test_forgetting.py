import numpy as np
import pytest

from parfocal.core.scores import MatrixRow
from parfocal.evaluation.forgetting import matrix, transfers


def rows(*steps: tuple[str, dict[str, float]]) -> list[MatrixRow]:
    return [
        MatrixRow(model=str(i), learned=learned, dice={name: {"disc": score} for name, score in scores.items()})
        for i, (learned, scores) in enumerate(steps)
    ]


def numbers(*steps: tuple[str, dict[str, float]]) -> dict[str, float | None]:
    return {one.name: one.value for one in transfers(matrix(rows(*steps), "disc"))}


# R by hand:      A    B    C
#   after A     .90  .40  .30
#   after B     .95  .80  .50
#   after C     .70  .60  .85
THREE = (
    ("A", {"A": 0.90, "B": 0.40, "C": 0.30}),
    ("B", {"A": 0.95, "B": 0.80, "C": 0.50}),
    ("C", {"A": 0.70, "B": 0.60, "C": 0.85}),
)


def test_the_four_definitions_disagree_on_one_matrix() -> None:
    found = numbers(*THREE)
    assert found["BWT, last step"] == pytest.approx(((0.70 - 0.90) + (0.60 - 0.80)) / 2)
    assert found["BWT, all steps"] == pytest.approx(((0.95 - 0.90) + (0.70 - 0.90) + (0.60 - 0.80)) / 3)
    assert found["forgetting"] == pytest.approx(((0.95 - 0.70) + (0.80 - 0.60)) / 2)
    assert found["BWT, level"] == pytest.approx((0.95 + 0.70 + 0.60) / 3)
    assert found["forward transfer"] == pytest.approx((0.40 + 0.50) / 2)
    assert found["plasticity"] == pytest.approx((0.90 + 0.80 + 0.85) / 3)


def test_every_number_names_its_source_and_says_which_way_is_loss() -> None:
    found = transfers(matrix(rows(*THREE), "disc"))
    assert all(one.source and one.meaning for one in found)
    assert [one.name for one in found if one.difference] == ["BWT, last step", "BWT, all steps", "forgetting"]


def test_of_a_first_model_nothing_can_be_said_but_what_it_learned() -> None:
    found = numbers(("A", {"A": 0.9}))
    assert found.pop("plasticity") == 0.9
    assert set(found.values()) == {None}


def test_a_model_that_learned_nothing_forgets_nothing_and_its_plasticity_shows_it() -> None:
    found = numbers(("A", {"A": 0.9, "B": 0.1}), ("B", {"A": 0.9, "B": 0.1}))
    assert found["BWT, last step"] == found["forgetting"] == 0
    assert found["plasticity"] == pytest.approx(0.5)


def test_what_nobody_measured_is_left_out_and_not_taken_for_zero() -> None:
    r = matrix(rows(("A", {"A": 0.9}), ("B", {"A": 0.8, "B": 0.7}), ("C", {"A": 0.7, "B": 0.6, "C": 0.5})), "disc")
    np.testing.assert_array_equal(np.isnan(r.values), [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    found = {one.name: one.value for one in transfers(r)}
    assert found["forward transfer"] is None
    assert found["BWT, last step"] == pytest.approx(((0.7 - 0.9) + (0.6 - 0.7)) / 2)


def test_learning_more_of_an_instrument_is_not_forgetting_it() -> None:
    found = numbers(("A", {"A": 0.7}), ("B", {"A": 0.6, "B": 0.8}), ("A", {"A": 0.9, "B": 0.75}))
    assert found["BWT, last step"] == pytest.approx(0.75 - 0.8)
    assert found["BWT, all steps"] == pytest.approx(((0.6 - 0.7) + (0.75 - 0.8)) / 2)
    assert found["plasticity"] == pytest.approx((0.7 + 0.8) / 2)


def test_an_instrument_learned_beside_the_named_one_counts_from_that_step() -> None:
    r = matrix(rows(("B", {"A": 0.9, "B": 0.8}), ("C", {"A": 0.8, "B": 0.8, "C": 0.7})), "disc")
    assert r.instruments == ("A", "B", "C")
    assert r.first == (0, 0, 1)
    assert {one.name: one.value for one in transfers(r)}["BWT, last step"] == pytest.approx(-0.05)


def test_a_structure_has_columns_for_the_instruments_that_label_it() -> None:
    both = MatrixRow(model="1", learned="A", dice={"A": {"disc": 0.9, "cup": 0.8}, "B": {"disc": 0.5}})
    assert matrix([both], "cup").instruments == ("A",)
    assert set(matrix([both], "disc").instruments) == {"A", "B"}
    assert matrix([both], "fovea").values.shape == (1, 0)
