"""Four simulated cameras in turn: what is claimed of forgetting, with intervals, by the study `sequence`."""

import pytest
import studies_kit as kit

from parfocal.studies import sequence_tables as sequence
from parfocal.studies.output import Result
from parfocal.studies.tables import Entry

ALL, LEARNED, KEPT = range(3)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return kit.at_smoke("sequence", tmp_path_factory.mktemp("sequence"))


def entries(result: Result, table: str, line: str) -> tuple[Entry, ...]:
    found = {one.name: one for one in result.tables}[f"disc-{table}"]
    return {one.name: one for one in found.lines}[line].entries


def test_the_cameras_are_worth_learning_a_model_of_one_fails_on_another(result: Result) -> None:
    first, second, *_ = entries(result, "pair", sequence.FIRST)
    assert first.value is not None
    assert second.value is not None
    assert first.value >= 0.8
    assert second.value <= first.value - 0.2


def test_fine_tuning_learns_and_forgets(result: Result) -> None:
    _, learned, _, forgotten, _ = entries(result, "sequence", sequence.FINETUNE)
    assert learned.value is not None
    assert forgotten.low is not None
    assert learned.value >= 0.7
    assert forgotten.low > 0.05


def test_the_default_beats_fine_tuning_with_an_interval_that_excludes_zero(result: Result) -> None:
    differences = entries(result, "against", f"{sequence.REPLAY}, less {sequence.FINETUNE}")
    for place in (ALL, KEPT):
        low = differences[place].low
        assert low is not None
        assert low > 0


def test_the_default_learns_the_new_camera_as_well(result: Result) -> None:
    high = entries(result, "against", f"{sequence.REPLAY}, less {sequence.FINETUNE}")[LEARNED].high
    assert high is not None
    assert high > -0.02


def test_r_starts_from_one_network_whatever_the_strategy(result: Result) -> None:
    rows = [entries(result, f"r-{arm}", "place 1") for arm in (sequence.FINETUNE, sequence.REPLAY, sequence.JOINT)]
    assert rows[0] == rows[1] == rows[2]
