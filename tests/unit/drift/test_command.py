"""`parfocal drift run-length`."""

import json

import pytest
from click.testing import CliRunner

from parfocal.cli.drift import drift
from parfocal.core.errors import UsageError
from parfocal.drift.run_length import threshold


def run(*words: str) -> str:
    done = CliRunner().invoke(drift, ["run-length", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_json_is_what_the_library_says_and_has_null_where_nothing_is_promised() -> None:
    answer = json.loads(run("--json", "--arl0", "1000", "--size", "10", "--size", "200", "--runs", "200"))
    small, large = answer["rows"]
    assert (small["h"], small["promise"], small["median_delay"]["2"]) == (None, False, None)
    assert large["h"] == threshold(1000, 200).h
    assert large["low"] < 1000 < large["high"]
    assert large["median_delay"]["2"] < large["median_delay"]["1"]


def test_a_budget_becomes_a_run_length() -> None:
    answer = json.loads(run("--json", "--budget", "1", "--cases-a-day", "10", "--streams", "2", "--size", "10"))
    assert answer["arl0"] == pytest.approx(608.75)


def test_the_table_shows_every_size_and_the_reason_of_a_missing_threshold() -> None:
    text = run("--arl0", "1000", "--size", "10", "--size", "200", "--runs", "50")
    assert f"{threshold(1000, 200).h:.2f}" in text
    assert "10 held-out cases; 20 are the fewest" in text


@pytest.mark.parametrize("words", [("--arl0", "1"), ("--k", "-1"), ("--budget", "0"), ("--runs", "0")])
def test_what_cannot_be_computed_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*words)
