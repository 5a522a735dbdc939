import pytest

from parfocal.core.scores import CaseScore, Evaluation, FrozenTest, MatrixRow
from parfocal.evaluation import report
from parfocal.evaluation.crossings import Crossing, crossings

CHAMPION = {"a": 0.95, "b": 1.05, "c": 1.09, "d": 1.30, "e": None}
CHALLENGER = {"a": 0.97, "b": 1.11, "c": 0.70, "d": 1.02, "e": None}


def scores(ratios: dict[str, float | None]) -> tuple[CaseScore, ...]:
    fixed = {"dice": 0.9, "iou": 0.8, "hausdorff": 9.0, "hd95": 5.0}
    return tuple(
        CaseScore(
            instrument="A", structure="disc", case=name, patient=name,
            metrics=fixed | ({} if ratio is None else {"radii_ratio": ratio}),
        )
        for name, ratio in ratios.items()
    )  # fmt: skip


def evaluation(champion: bool = True) -> Evaluation:
    found = {
        "challenger": scores(CHALLENGER),
        "constant": scores(CHAMPION),
        **({"champion": scores(CHAMPION)} if champion else {}),
    }
    return Evaluation(
        task="fundus", challenger="c" * 64, champion="a" * 64 if champion else None, new_instrument="A", scores=found,
        tests={"A": FrozenTest(checksum="e" * 64, cases=5, patients=5, uses=0)}, latency_ms={"challenger": 1.0},
        agreement={"disc": 1.0}, runtime="openvino",
        matrix=(MatrixRow(model="c" * 64, learned="A", dice={"A": {"disc": 0.9}}),),
    )  # fmt: skip


def test_cases_are_lost_or_gained_by_the_tenth_of_the_radius_and_the_farthest_off_comes_first() -> None:
    (cell,) = crossings(evaluation())
    assert (cell.instrument, cell.structure, cell.cases, cell.both) == ("A", "disc", 5, 1)
    assert cell.lost == (Crossing("c", 1.09, 0.70), Crossing("b", 1.05, 1.11))
    assert cell.gained == (Crossing("d", 1.30, 1.02),)


def test_radii_that_all_grew_differ_from_radii_that_changed_places() -> None:
    (cell,) = crossings(evaluation())
    assert cell.before is not None
    assert cell.after is not None
    assert (cell.before.mean, cell.before.sd) == pytest.approx((1.0975, 0.12755), abs=1e-4)
    assert (cell.after.mean, cell.after.sd) == pytest.approx((0.95, 0.15281), abs=1e-4)
    assert "<td>1.10 (0.13)</td><td>0.95 (0.15)</td>" in report.render(evaluation())


def test_without_a_champion_nothing_crosses() -> None:
    assert crossings(evaluation(champion=False)) == ()


def test_the_report_names_every_case_that_was_lost() -> None:
    page = report.render(evaluation())
    assert "c 1.09 to 0.70; b 1.05 to 1.11" in page
    assert "d 1.30" not in page
    assert "Radii that" not in report.render(evaluation(champion=False))
