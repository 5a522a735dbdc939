"""A monitor is killed while it has candidates: they are there again, as people left them, and only a leader groups."""

from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from monitor_kit import Process, eventually, observation, promote, stream
from postgres_kit import BOTH

from parfocal.cli import parfocal
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.types import Observation

QUICK = "from parfocal_serving.monitor import candidates_pass as p; p.PAUSE_SECONDS, p.SHARE = 0.05, 0.0"


def undeclared(place: float, first: int, count: int, reference: str) -> list[Observation]:
    return [observation(first + i, None, at=place, reference=reference) for i in range(count)]


@BOTH
def test_candidates_and_what_people_said_outlive_a_kill_and_the_next_leader_goes_on(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = promote(tmp_path)
    environment = {"PARFOCAL_DATABASE_URL": database_url, "PARFOCAL_OPEN": "1", "PARFOCAL_TRIGGER_PATH": "monitor"}
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    for name in ("PARFOCAL_TOKEN", "PARFOCAL_MONITOR_URL"):
        monkeypatch.delenv(name, raising=False)

    def listed(process: Process) -> list[dict[str, object]]:
        return list(process.client.get("/api/candidates").raise_for_status().json()["candidates"])

    def run(process: Process, *arguments: str) -> str:
        done = CliRunner().invoke(parfocal, ["monitor", *arguments, "--url", process.address])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    with Process(tmp_path, **environment) as first, Process(tmp_path, **environment) as second:
        first.prelude = second.prelude = QUICK
        first.start()
        first.send([*undeclared(20.0, 0, 25, id_), *undeclared(-25.0, 500, 18, id_)])
        one, other = eventually(lambda: listed(first))
        assert "25 cases" in run(first, "name", str(one["id"]), "B", "--by", "Ada", "--reason", "the new clinic")
        second.launch()
        assert "another monitor leads" in eventually(lambda: _refused(second), 120)
        assert [one["size"] for one in listed(second)] == [25, 18], "it shows what the other has found"
        eventually(lambda: stream(first.get(), "B")["observations"] == 25)
        first.kill()
        eventually(lambda: second.client.get("/readyz").status_code == 200)
        kept = {found["id"]: (found["state"], found["instrument"], found["size"]) for found in listed(second)}
        assert kept == {one["id"]: ("named", "B", 25), other["id"]: ("open", "", 18)}
        run(second, "merge", str(other["id"]), str(one["id"]), "--by", "Bo", "--reason", "the same make")
        second.send(undeclared(20.0, 3000, 2, id_))
        eventually(lambda: [found["size"] for found in listed(second)] == [45])
        eventually(lambda: stream(second.get(), "B")["observations"] == 45)
        said = run(second, "candidates")
        assert "B: is B, 45 cases" in said
        assert f"Bo: merge {other['id']} {one['id']} (the same make)" in said


def _refused(process: Process) -> str:
    try:
        answer = process.client.post("/candidates/x/dismiss", json={"by": "Bo", "reason": "no"}, timeout=5)
    except httpx.TransportError:
        return ""
    assert answer.status_code == 503
    return str(answer.json()["error"]["what"])


def test_the_command_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    monkeypatch.delenv("PARFOCAL_MONITOR_URL", raising=False)
    nobody = CliRunner().invoke(parfocal, ["monitor", "candidates"])
    assert isinstance(nobody.exception, UsageError)
    assert "no monitor runs here" in str(nobody.exception)
    away = CliRunner().invoke(parfocal, ["monitor", "candidates", "--url", "http://127.0.0.1:9"])
    assert isinstance(away.exception, OutsideServiceError)
