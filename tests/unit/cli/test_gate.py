"""`parfocal gate`: the policy as a file, the power as numbers, the simulation with its exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from parfocal.cli.gate import gate
from parfocal.core.errors import GateRefusedError, UsageError


def run(*words: str) -> Result:
    return CliRunner().invoke(gate, list(words))


def test_the_policy_is_printed_with_its_reasons_and_is_itself_a_configuration(tmp_path: Path) -> None:
    shown = run("policy", "--set", "gate.margin=0.01").stdout
    (tmp_path / "run.yaml").write_text(shown)
    assert run("policy", "--config", str(tmp_path / "run.yaml")).stdout == shown
    assert "  # Dice an old cell may lose at the lower bound" in shown
    assert "  margin: 0.01\n" in shown
    assert json.loads(run("policy", "--json").stdout)["margin"] == 0.02


def test_power_is_told_for_the_sizes_and_spreads_that_are_asked_for() -> None:
    found = json.loads(run("power", "--patients", "26", "--sd", "0.06", "--set", "gate.level=0.9", "--json").stdout)
    assert found["rows"][0]["power"] == pytest.approx(0.5, abs=0.03)
    assert found["rows"][0]["patients_for_four_in_five"] == 56
    assert "inconclusive: under 20 patients" in run("power", "--patients", "12").stdout
    assert isinstance(run("power", "--sd", "0").exception, UsageError)


def test_a_simulation_that_finds_more_errors_than_declared_says_so_with_its_exit_code() -> None:
    words = ("simulate", "--patients", "20", "--cells", "1", "--runs", "100")
    held = run(*words, "--json")
    assert held.exit_code == 0, held.output
    assert {row["scenario"] for row in json.loads(held.stdout)["rows"]} == {"harm", "useless", "good"}
    broken = run(*words, "--set", "gate.level=0.6")
    assert isinstance(broken.exception, GateRefusedError)
    assert "BROKEN" in broken.stdout
    assert "does not hold what it declares" in str(broken.exception)
