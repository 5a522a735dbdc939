"""The curve of glaucoma suspicion and the matrix of pixels, on cases worked by hand."""

import math

import numpy as np

from parfocal.core.scores import CaseScore, Evaluation
from parfocal.evaluation import curves
from parfocal.evaluation.metrics import score_case


def judged(*scores: CaseScore) -> Evaluation:
    return Evaluation(
        task="fundus",
        challenger="x",
        new_instrument="b",
        scores={"challenger": scores, "constant": ()},
        tests={},
        latency_ms={},
        agreement={},
        runtime="openvino",
        matrix=(),
    )


def scored(structure: str = "cup", **metrics: float) -> CaseScore:
    return CaseScore(instrument="a", structure=structure, case="c", patient="p", metrics=metrics)


def ratios(drawn: float | None, true: float) -> CaseScore:
    found = {} if drawn is None else {"cdr": drawn - 0.1, "vertical_cdr": drawn}
    return scored(cdr_true=true, vertical_cdr_true=0.5, **found)


def test_the_curve_of_four_eyes_worked_by_hand() -> None:
    # Falling scores: suspect .9, healthy .8, suspect .6, healthy without a disc (0).
    found = curves.suspicion(judged(ratios(0.6, 0.7), ratios(0.8, 0.69), ratios(0.9, 0.75), ratios(None, 0.4)))
    assert found is not None
    assert found.false_positive == (0, 0, 0.5, 0.5, 1)
    assert found.true_positive == (0, 0.5, 0.5, 1, 1)
    assert np.allclose(found.threshold, (1.9, 0.9, 0.8, 0.6, 0))
    assert all(math.isfinite(value) for value in found.threshold)


def test_points_on_a_line_are_left_out_and_equal_scores_are_one_point() -> None:
    found = curves.roc([True, True, True, False, True, False], [0.9, 0.8, 0.7, 0.5, 0.5, 0.1])
    assert found is not None
    assert found.false_positive == (0, 0, 0.5, 1)
    assert found.true_positive == (0, 0.75, 1, 1)


def test_without_both_kinds_of_eyes_or_without_ratios_there_is_no_curve() -> None:
    assert curves.suspicion(judged(ratios(0.9, 0.8), ratios(0.2, 0.7))) is None
    assert curves.suspicion(judged(ratios(0.9, 0.3))) is None
    assert curves.suspicion(judged(scored("lung", dice=0.8))) is None


def test_pixels_are_counted_by_structure_over_all_cases() -> None:
    drawn, true = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    drawn[0, :4], true[0, 1:] = True, True  # three hit, one added, one missed, of twenty
    empty = np.zeros((4, 5), bool)
    names, matrix = curves.pixels(
        judged(
            scored("disc", **score_case(drawn, true)),
            scored("disc", **score_case(drawn, empty)),
            scored("cup", **score_case(empty, empty)),
        )
    )
    assert names == ["disc", "not disc", "cup", "not cup"]
    assert matrix == [[3, 1, 0, 0], [5, 31, 0, 0], [0, 0, 0, 0], [0, 0, 0, 20]]


def test_scores_from_before_sizes_were_kept_have_no_matrix() -> None:
    assert curves.pixels(judged(scored("disc", dice=0.5, area=4.0, area_true=4.0))) == ([], [])
