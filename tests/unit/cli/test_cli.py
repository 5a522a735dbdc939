"""The command line as a person meets it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import data_kit
import pytest

from parfocal.cli import VERBS


def parfocal(*words: object, cwd: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "parfocal", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = parfocal(verb, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 6


def test_an_unknown_verb_suggests_the_nearest() -> None:
    done = parfocal("trian")
    assert done.returncode == 2
    assert "Did you mean 'train'" in done.stderr


def test_preprocess_answers_in_json_and_keeps_progress_on_the_other_stream(tmp_path: Path) -> None:
    photos = data_kit.source(tmp_path / "photos", data_kit.patients(16))
    done = parfocal(
        "preprocess", photos, "--out", tmp_path / "a", "--instrument", "7", "--set", "recipe.size=32", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"] == str(tmp_path / "a")
    assert json.loads((tmp_path / "a" / "dataset.json").read_text())["instrument"] == "7"
    assert "16 cases" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("preprocess", "nowhere", "--out", "x", "--instrument", "A"), 3, "nowhere"),
        (("preprocess", "nowhere", "--out", "x"), 2, "instrument"),
        (("train", "nowhere", "--out", "x"), 3, "no manifest"),
        (("config", "show", "--set", "train.stepz=1"), 2, "train.stepz"),
        (("promote", "e", "--challenger", "c", "--out", "o", "--approve", "me"), 2, "--reason"),
        (("pipeline", "run", "initail", "--experience", "x"), 2, "no pipeline 'initail'"),
        (("registry", "rollback", "--by", "me", "--reason", "why"), 2, ""),
    ],
)
def test_a_mistake_has_its_exit_code_and_says_what_to_do(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    done = parfocal(*words, cwd=tmp_path, PARFOCAL_STATE=str(tmp_path / "state"))
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    done = parfocal("preprocess", "nowhere", "--out", "x", "--instrument", "A", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_the_shown_configuration_is_itself_a_configuration(tmp_path: Path) -> None:
    shown = parfocal("config", "show", "--set", "train.steps=77")
    (tmp_path / "run.yaml").write_text(shown.stdout)
    again = parfocal("config", "show", "--config", tmp_path / "run.yaml")
    assert again.stdout == shown.stdout
    assert "steps: 77" in shown.stdout


def test_the_schema_explains_every_key() -> None:
    done = parfocal("config", "schema")
    assert done.returncode == 0
    for key in ("data.instrument", "recipe.border", "train.steps", "retrain.exemplars", "gate.margin"):
        assert f"{key} = " in done.stdout


def test_the_history_of_an_empty_registry_is_empty(tmp_path: Path) -> None:
    done = parfocal("registry", "history", PARFOCAL_STATE=str(tmp_path / "state"))
    assert (done.returncode, done.stdout) == (0, "champion of fundus: none\n")
    assert parfocal("registry", "verify", PARFOCAL_STATE=str(tmp_path / "state")).stdout.startswith("0 entries")
