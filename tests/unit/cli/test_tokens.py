"""`parfocal token`, and what the platform's verbs say about who may come in."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from parfocal.adapters.tokens import read
from parfocal.cli import parfocal
from parfocal.cli import platform_view as view


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    monkeypatch.delenv("PARFOCAL_TOKENS", raising=False)
    return tmp_path


def say(*words: str) -> str:
    ended = CliRunner().invoke(parfocal, ["token", *words], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_a_token_is_shown_once_and_then_only_whose_it_is(state: Path) -> None:
    word = say("add", "Ada", "--role", "annotate", "--role", "operate").strip()
    assert word.startswith("pf_")
    listed = say("list")
    assert "Ada" in listed
    assert "annotate, operate" in listed
    assert word not in listed
    (row,) = json.loads(say("list", "--json"))
    assert not {"hash", "salt"} & set(row)
    rotated = json.loads(say("rotate", "Ada", "--json"))
    assert rotated["token"] not in (word, "")
    assert "2 tokens of Ada revoked" in say("revoke", "Ada")
    assert {row.revoked is None for row in read(state / "tokens.json").tokens} == {False}


def test_every_change_is_in_the_audit_log_and_no_token_is(state: Path) -> None:
    word = say("add", "Ada", "--role", "annotate").strip()
    say("rotate", "Ada")
    say("revoke", "Ada")
    (file,) = (state / "audit").iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["what"], row["on"]) for row in rows] == [
        ("token add", "Ada"), ("token rotate", "Ada"), ("token revoke", "Ada")
    ]  # fmt: skip
    assert all(row["who"] for row in rows)
    assert word.split("_", 2)[2] not in file.read_text()


def test_a_user_without_a_name_sees_the_token_that_was_made(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the images nobody is called 10001; the token was in the file and shown to no one."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 10_001)
    assert say("add", "Ada", "--role", "segment").startswith("pf_")
    (file,) = (state / "audit").iterdir()
    assert json.loads(file.read_text())["who"] == "user 10001"


def test_the_log_names_the_row_that_was_revoked(state: Path) -> None:
    say("add", "Ada", "--role", "annotate")
    say("revoke", "Ada")
    say("add", "Ada", "--role", "annotate")
    say("revoke", "Ada")
    (file,) = (state / "audit").iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [rows[0]["id"], rows[2]["id"]] == [rows[1]["id"], rows[3]["id"]]


@pytest.mark.parametrize("words", [["--role", "root"], ["--role", "segment", "--days", "1e9"]])
def test_a_role_that_there_is_not_and_a_life_beyond_the_calendar_are_refused(words: list[str]) -> None:
    ended = CliRunner().invoke(parfocal, ["token", "add", "Ada", *words])
    assert ended.exit_code == 2


def test_the_first_start_shows_how_to_come_in(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"monitor": "http://127.0.0.1:8081", "segmenter": "http://127.0.0.1:3000"}
    view.entry(known, "pf_1_x", False)
    shown = capsys.readouterr().out
    assert "http://127.0.0.1:8081/sign-in#pf_1_x" in shown
    assert "Authorization: Bearer pf_1_x" in shown
    view.entry(known, None, False)
    assert "pf_" not in capsys.readouterr().out
    view.entry(known, None, True)
    assert "this machine alone" in capsys.readouterr().out
