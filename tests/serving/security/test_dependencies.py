"""The dependency audit: what it lets pass, what not, and what it says when nobody tells it anything."""

import importlib.util
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 11, 21)
BAD = {"name": "thing", "version": "1.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}]}
GOOD = {"name": "other", "version": "2.0", "vulns": []}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_audit", ROOT / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accepted(until: date, id_: str = "CVE-1") -> dict[str, Any]:
    return {"id": id_, "package": "thing", "reason": "it is not reached", "until": until}


def test_a_vulnerability_fails_unless_it_is_accepted_and_not_run_out(audit: ModuleType) -> None:
    def judge(*rows: dict[str, Any]) -> Sequence[str]:
        return list(audit.judge([BAD, GOOD], rows, TODAY))

    assert judge() == ["thing 1.0: PYSEC-1, fixed in 1.1"]
    assert judge(accepted(TODAY)) == []
    assert judge(accepted(TODAY, "CVE-2"))[0].startswith("thing 1.0")
    assert "has to be looked at again" in judge(accepted(date(2026, 11, 20)))[0]


def test_where_no_advisories_can_be_had_it_says_so_and_does_not_pass(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = {"name": "jinja2", "version": "2.4.1", "vulns": []}
    for answer in (None, [], [silent]):  # no network; an index without advisories
        monkeypatch.setattr(audit, "ask", lambda *_, answer=answer: answer)
        assert audit.main() == audit.AWAY
        assert "NOTHING WAS AUDITED" in capsys.readouterr().out
    monkeypatch.setattr(audit, "ask", lambda *_: [BAD])
    assert audit.main() == 1
    shown = capsys.readouterr().out
    assert "thing 1.0" in shown
    assert "1 to mend" in shown


@pytest.mark.parametrize(("code", "ends", "line"), [(0, 0, ""), (6, 0, "NOT AUDITED"), (1, 1, ""), (2, 1, "")])
def test_continuous_integration_tells_the_three_apart(tmp_path: Path, code: int, ends: int, line: str) -> None:
    script = (ROOT / ".ci" / "run").read_text()
    part = script[script.index("audit=0") :]
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f"#!/bin/sh\nexit {code}\n")
    python.chmod(0o755)
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", part], env={"VENV": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == ends
    assert line in ended.stdout
