"""What `evaluate` hands to `promote`: every score of every case, finite, paired, sealed."""

from pathlib import Path

import numpy as np
import pytest
from promotion_kit import better, write_evaluation

from parfocal.core import scores
from parfocal.core.errors import DataContractError
from parfocal.core.scores import EVALUATION, CaseScore, Evaluation
from parfocal.evaluation.metrics import rrp10, score_case
from parfocal.promotion.cells import cells, count_radius_close

JUDGED = better("c" * 64, "a" * 64)


def test_an_evaluation_survives_the_disk(tmp_path: Path) -> None:
    assert scores.read(write_evaluation(tmp_path / "e", JUDGED)) == JUDGED


@pytest.mark.parametrize("predicted", [False, True])
@pytest.mark.parametrize("true", [False, True])
def test_scores_of_any_masks_survive_json_which_knows_no_nan(predicted: bool, true: bool) -> None:
    found = score_case(np.full((9, 7), predicted), np.full((9, 7), true))
    score = CaseScore(instrument="A", structure="disc", case="1", patient="p", metrics=found)
    assert CaseScore.model_validate_json(score.model_dump_json()) == score


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "e", JUDGED)
    text = JUDGED.model_dump_json().replace('"task"', '"future":1,"task"', 1)
    with pytest.raises(DataContractError, match=EVALUATION):
        (folder / EVALUATION).write_text(text)
        scores.read(folder)
    with pytest.raises(ValueError, match="future"):
        Evaluation.model_validate_json(text)


def test_every_cell_can_be_paired_case_by_case() -> None:
    for cell in cells(JUDGED):
        assert cell.champion is not None
        assert cell.challenger.keys() == cell.champion.keys() == cell.constant.keys()


def test_a_rival_scored_on_other_cases_is_refused() -> None:
    short = {**JUDGED.scores, "champion": JUDGED.scores["champion"][1:]}
    with pytest.raises(DataContractError, match="not scored on exactly the challenger's cases"):
        cells(JUDGED.model_copy(update={"scores": short}))


def test_gate_and_report_count_close_radii_alike() -> None:
    (cell, *_) = cells(JUDGED)
    share = rrp10(score.metrics.get("radii_ratio") for score in cell.constant.values())
    assert share == 100 * count_radius_close(cell.constant) / len(cell.constant)
