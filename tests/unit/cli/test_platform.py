"""The platform's verbs as a person meets them; services are real where that is quick, tiny stand-ins elsewhere."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from parfocal.adapters import Settings
from parfocal.adapters.local_platform import LocalPlatform
from parfocal.adapters.local_services import Service
from parfocal.adapters.processes import free_port


def words(*given: object) -> list[str]:
    return [sys.executable, "-m", "parfocal", *map(str, given)]


def environment(state: Path, **more: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PARFOCAL_", "MLFLOW_"))}
    return {**bare, "PARFOCAL_STATE": str(state), **more}


def parfocal(state: Path, *given: object, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words(*given), capture_output=True, text=True, check=False, env=environment(state, **more), cwd=state.parent
    )


def until(look: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def status(state: Path, code: int, *given: str) -> "subprocess.CompletedProcess[str]":
    """What `status` says once it ends so: it gives a service two seconds to answer, and a busy machine takes them."""
    said: list[subprocess.CompletedProcess[str]] = []

    def look() -> bool:
        said.append(parfocal(state, "status", *given))
        return said[-1].returncode == code

    until(look)
    return said[-1]


FAKE = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Path(sys.argv[2]).read_bytes() if self.path == "/api/state" else b"")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def state_with(alarm: bool) -> str:
    streams = [{"name": "appearance", "alarm": alarm, "alarm_at": 7}, {"name": "framing", "alarm": False}]
    return json.dumps({"instruments": [{"name": "B", "streams": streams}]})


@contextmanager
def monitored(tmp_path: Path) -> Iterator[LocalPlatform]:
    """A platform whose monitor says what stands in the file `said`."""
    said = tmp_path / "said"
    said.write_text(state_with(alarm=False))
    program = tmp_path / "fake.py"
    program.write_text(FAKE)
    service = Service(
        "monitor",
        lambda place: [sys.executable, str(program), str(place.ports["monitor"]), str(said)],
        live="/livez",
    )
    with LocalPlatform(Settings(state=tmp_path / "state"), services=(service,)) as platform:
        platform.start()
        yield platform


def test_status_of_nothing_is_not_well(tmp_path: Path) -> None:
    done = parfocal(tmp_path / "state", "status")
    assert done.returncode == 6
    assert "nothing runs on" in done.stdout
    assert "champion of fundus: none" in done.stdout
    assert not (tmp_path / "state").exists()


def test_down_of_nothing_is_no_error(tmp_path: Path) -> None:
    done = parfocal(tmp_path / "state", "down", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"stopped": []})


def test_status_says_whether_all_is_well_an_alarm_stands_or_something_is_down(tmp_path: Path) -> None:
    with monitored(tmp_path) as platform:
        well = status(tmp_path / "state", 0, "--json")
        row = json.loads(well.stdout)["services"]["monitor"]
        assert (row["pid"], row["address"]) == (platform.pid("monitor"), platform.addresses["monitor"])

        (tmp_path / "said").write_text(state_with(alarm=True))
        alarm = status(tmp_path / "state", 5)
        assert "ALARM: appearance at B, raised by its case 7" in alarm.stdout

        os.kill(platform.pid("monitor") or 0, signal.SIGSTOP)
        hung = parfocal(tmp_path / "state", "status")
        assert hung.returncode == 6
        assert "does not answer" in hung.stdout
        os.kill(platform.pid("monitor") or 0, signal.SIGCONT)
        platform.stop("monitor")
        assert parfocal(tmp_path / "state", "status").returncode == 6


def test_status_shows_the_champion_and_the_one_that_was_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "serving" / "fundus"
    folder.mkdir(parents=True)
    champion = {"task": "fundus", "version": "3", "checksum": "c" * 64, "folder": "f", "uri": "u", "since": "noon"}
    (folder / "current.json").write_text(json.dumps(champion))
    (folder / "rejected.json").write_text(json.dumps({"version": "4", "reason": "it is damaged"}))
    done = parfocal(tmp_path / "state", "status")
    assert "champion of fundus: version 3 (cccccccccccc) since noon" in done.stdout
    assert "refused: version 4, it is damaged" in done.stdout


def test_a_second_platform_on_one_state_is_refused(tmp_path: Path) -> None:
    with monitored(tmp_path):
        done = parfocal(tmp_path / "state", "monitor")
        assert done.returncode == 2
        assert f"monitor runs already on this state, under process {os.getpid()}" in done.stderr
        assert "parfocal down" in done.stderr


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_port_that_is_taken_is_named(tmp_path: Path, detach: tuple[str, ...]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = parfocal(tmp_path / "state", "up", "--monitor-port", port, *detach)
    assert done.returncode == (6 if detach else 2)
    assert f"port {port} for monitor is taken" in done.stderr
    assert not (tmp_path / "state" / "platform.json").exists()


def test_serve_runs_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path) -> None:
    """Follower and segmenter for real, on the registry in the state folder, which is empty."""
    pytest.importorskip("bentoml")
    state, port = tmp_path / "state", free_port()
    log = tmp_path / "errors"
    with log.open("w") as errors:
        serving = subprocess.Popen(
            words("serve", "--segmenter-port", port, "--json"),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(state),
        )
    try:
        assert serving.stdout is not None
        first = serving.stdout.readline()
        assert first, log.read_text()
        assert json.loads(first)["addresses"] == {"segmenter": f"http://127.0.0.1:{port}"}
        seen = json.loads(status(state, 0, "--json").stdout)
        assert seen["services"]["segmenter"]["health"] == "waits for a champion"
        assert seen["services"]["follower"]["health"] == "the registry answers"
        assert seen["well"]
        below = psutil.Process(serving.pid).children(recursive=True)
        assert len(below) >= 4
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(120) == 0, log.read_text()
        assert not any(process.is_running() for process in below)
        assert parfocal(state, "status").returncode == 6
    finally:
        serving.kill()
        serving.wait()


def test_doctor_goes_on_when_a_service_is_away(tmp_path: Path) -> None:
    """Every check is made; that the registry does not answer is an outside service's fault."""
    away = f"http://127.0.0.1:{free_port()}"
    done = parfocal(tmp_path / "state", "doctor", "--json", MLFLOW_TRACKING_URI=away)
    rows = {row["name"]: row for row in json.loads(done.stdout)["checks"]}
    assert {"python", "packages", "torch", "processor", "state", "ports", "prometheus", "ledger"} <= set(rows)
    assert rows["registry"]["level"] == "fail"
    assert "MLFLOW_TRACKING_URI" in rows["registry"]["next"]
    assert rows["packages"]["level"] == "ok", rows["packages"]
    assert done.returncode == 6
    assert not (tmp_path / "state").exists()


def test_doctor_names_a_state_folder_that_cannot_be_written(tmp_path: Path) -> None:
    from parfocal.adapters import checks

    found = {check.name: check for check in checks.every(Settings(state=Path("/proc/parfocal")))}
    assert found["state"].level == "fail"
    assert "PARFOCAL_STATE" in found["state"].next
    assert found["champion"].level == "warn"
