"""The audit log: who did what, in lines that are only ever added."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from monitor_kit import files
from parfocal_serving.security.audit import REFUSALS, Audit
from parfocal_serving.security.caller import NOBODY, Caller
from parfocal_serving.security.limiter import Limiter
from security_kit import FAR, audited, bearer, monitor, token

from parfocal.adapters import audit


def lines(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audited(state).splitlines()]


def test_a_label_is_written_down_with_who_and_without_the_patient(tmp_path: Path) -> None:
    word = token(tmp_path, "Ada", "annotate")
    with monitor(tmp_path) as client:
        said = {"patient": "Jane Roe 1970", "grader": "Ada"}
        labelled = client.post("/cases/fundus/B", files=files(1), data=said, headers=bearer(word))
        assert labelled.status_code == 201
        client.get("/api/state", headers=bearer(word))
        client.post("/alerts?patient=Jane", content=b"{}", headers=bearer(word))
    written, refused = lines(tmp_path)
    assert (written["who"], written["roles"], written["via"]) == ("Ada", ["annotate"], "token")
    assert (written["what"], written["on"], written["outcome"]) == ("POST", "/cases/fundus/B", 201)
    assert written["from"] == FAR[0]
    assert written["request"] == labelled.headers["X-Request-ID"]
    assert (refused["on"], refused["outcome"]) == ("/alerts", 403)
    assert "Jane" not in audited(tmp_path)


def test_a_look_at_a_photograph_is_written_down_and_an_observation_is_not(tmp_path: Path) -> None:
    word = token(tmp_path, "Ada", "annotate", "observe")
    with monitor(tmp_path) as client:
        client.get("/api/annotate/cases/c1/image", headers=bearer(word))
        client.post("/observations", json={"observations": []}, headers=bearer(word))
    assert [row["on"] for row in lines(tmp_path)] == ["/api/annotate/cases/c1/image"]


def test_a_path_that_nobody_knows_is_not_copied_into_the_log(tmp_path: Path) -> None:
    token(tmp_path, "Ada", "annotate")
    client = monitor(tmp_path)
    assert client.post("/Jane-Roe/1970").status_code == 401
    assert [(row["who"], row["on"], row["outcome"]) for row in lines(tmp_path)] == [("", "", 401)]


def test_whoever_knocks_all_day_does_not_fill_the_disk(tmp_path: Path) -> None:
    now = [0.0]
    log = Audit(tmp_path, "monitor", Limiter(REFUSALS, 60, lambda: now[0]))

    def knock(outcome: int) -> None:
        log.done(NOBODY, "", "POST", "/alerts", outcome, "r", "10.0.0.1")

    for _ in range(REFUSALS + 500):
        knock(401)
    assert len(lines(tmp_path)) == REFUSALS
    log.done(Caller("Ada", frozenset({"operate"})), "token", "POST", "/runs/k/retry", 202, "r", "10.0.0.2")
    assert lines(tmp_path)[-1]["refused_unwritten"] == 500, (
        "what was done is always written, and says how many were not"
    )
    now[0] = 61
    knock(403)
    assert lines(tmp_path)[-1]["outcome"] == 403
    assert "refused_unwritten" not in lines(tmp_path)[-1]


def test_the_log_is_for_its_owner_alone_and_is_only_added_to(tmp_path: Path) -> None:
    place = audit.folder(tmp_path)
    audit.append(place, {"a": 1})
    audit.append(place, {"b": "two\nlines"})
    (file,) = place.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert [set(row) - {"time"} for row in lines(tmp_path)] == [{"a"}, {"b"}]


def test_nothing_is_done_that_cannot_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = token(tmp_path, "Ada", "annotate")
    with monitor(tmp_path) as client:
        monkeypatch.setattr(audit, "FREE", 10**18)
        answer = client.post(
            "/cases/fundus/B", files=files(1), data={"patient": "p", "grader": "Ada"}, headers=bearer(word)
        )
        assert (answer.status_code, "audit" in answer.json()["error"]["what"]) == (503, True)
        monkeypatch.undo()
        assert client.post(
            "/cases/fundus/B", files=files(1), data={"patient": "p", "grader": "Ada"}, headers=bearer(word)
        ).json() == {"labelled": 1}
