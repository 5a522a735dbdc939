"""`parfocal drift run-length` and `parfocal monitor simulate`."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from parfocal.cli.drift import drift
from parfocal.cli.platform import monitor
from parfocal.core.errors import UsageError
from parfocal.drift.run_length import threshold


def simulated(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(monitor, ["simulate", "--json", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.output)
    return answer


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


@pytest.mark.parametrize("size", [100, 1000])
def test_the_realised_run_length_is_within_a_fifth_of_the_declared(size: int) -> None:
    answer = simulated("--arl0", "500", "--size", str(size), "--cases", "600", "--runs", "300")
    assert answer["declared_arl0"] == 500
    assert answer["references"] == 2000
    assert answer["realised_arl0"] == pytest.approx(500, rel=0.2)
    assert answer["low"] < 500 < answer["high"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 1000])
def test_the_realised_run_length_is_within_a_fifth_of_the_declared_in_full(size: int) -> None:
    answer = simulated("--size", str(size))
    assert answer["realised_arl0"] == pytest.approx(answer["declared_arl0"], rel=0.2)
    assert answer["cases"] == 2000 * 20_000


def test_at_the_monthly_budget_a_shift_of_two_sigma_is_found_in_eight_cases() -> None:
    answer = simulated("--budget", "1", "--cases-a-day", "100", "--cases", "20", "--references", "100")
    assert answer["declared_arl0"] == pytest.approx(12_175)
    assert answer["median_delay"]["2"] <= 8
    assert answer["realised_arl0"] is None, "a hundred runs of twenty cases are too few to see one"


def test_a_reference_that_promises_nothing_is_not_simulated() -> None:
    answer = simulated("--size", "10")
    assert (answer["realised_arl0"], answer["promise"], answer["h"]) == (None, False, None)
    done = CliRunner().invoke(monitor, ["simulate", "--size", "10"], catch_exceptions=False)
    assert "10 held-out cases; 20 are the fewest" in done.output


def test_the_simulation_is_said_in_words_too() -> None:
    words = ["simulate", "--arl0", "500", "--size", "100", "--cases", "100", "--runs", "50", "--references", "200"]
    text = CliRunner().invoke(monitor, words, catch_exceptions=False).output
    assert "declared: one false alarm in 500 cases" in text
    assert "200 references of 100 held-out cases" in text
