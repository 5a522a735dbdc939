"""The platform starts services in order, keeps them up, and leaves nothing behind; here with tiny services."""

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from parfocal.adapters import Settings, local_record
from parfocal.adapters.local_platform import LocalPlatform
from parfocal.adapters.local_services import SERVICES, Place, Service, environment, token, trigger_path
from parfocal.adapters.processes import answers, free_port
from parfocal.core.errors import OutsideServiceError, UsageError


class Heard:
    """A reporter that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: object) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


def web(name: str, *after: str, ends: int = 0) -> Service:
    return Service(
        name,
        lambda place: [sys.executable, "-m", "http.server", str(place.ports[name]), "--bind", "127.0.0.1"],
        after=after,
        live="/",
        ends=ends,
    )


def dying(place: Place) -> list[str]:
    return ["sh", "-c", "echo the moon is down; exit 4"]


FIRST, SECOND = web("first", ends=1), web("second", "first")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", tracking_uri="", token="")


def until(look: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_services_start_in_stages_and_all_end_with_the_context(settings: Settings) -> None:
    with LocalPlatform(settings, services=(FIRST, SECOND)) as platform:
        assert platform.states() == {"first": "waiting", "second": "waiting"}
        platform.start("first")
        assert platform.alive("first")
        assert not platform.alive("second")
        assert platform.pid("second") is None
        platform.start()
        ports = [int(address.rsplit(":", 1)[1]) for address in platform.addresses.values()]
        until(lambda: all(answers(port, "/") for port in ports))
        processes = [platform.pid(name) for name in ("first", "second")]
        assert all(psutil.pid_exists(pid) for pid in processes if pid)
    assert not any(psutil.pid_exists(pid) for pid in processes if pid)
    assert not any(answers(port, "/") for port in ports)
    assert not (settings.state / "platform.json").exists()


def test_what_is_needed_is_ready_before_what_needs_it_and_ends_after_it(settings: Settings) -> None:
    heard = Heard()
    with LocalPlatform(settings, services=(FIRST, SECOND), reporter=heard) as platform:
        platform.start()
        ended = []
        original = platform._processes.stop
        platform._processes.stop = lambda *names, kill=False: (ended.extend(names), original(*names, kill=kill))[1]  # type: ignore[method-assign]
    assert [note.split()[0] for note in heard.notes] == ["first", "second"]
    assert ended == ["second", "first"]


def test_a_service_that_dies_is_started_again_and_that_is_said(settings: Settings) -> None:
    heard = Heard()
    with LocalPlatform(settings, services=(FIRST,), reporter=heard) as platform:
        platform.start()
        before = platform.pid("first")
        assert before
        os.kill(before, signal.SIGKILL)
        until(lambda: platform.states()["first"] == "up" and platform.pid("first") not in (None, before))
        until(lambda: answers(int(platform.addresses["first"].rsplit(":", 1)[1]), "/"))
        assert json.loads((settings.state / "platform.json").read_text())["services"]["first"]["restarts"] == 1
    assert any("ended with code 137; starting it again in 0.5 s" in note for note in heard.notes)
    assert "first is up again" in (settings.state / "logs" / "platform.log").read_text()


class Closed(Heard):
    """A terminal that is not there any more, as when `tee` was killed."""

    def note(self, message: str) -> None:
        raise BrokenPipeError


def test_a_service_that_dies_is_started_again_though_nobody_can_be_told(settings: Settings) -> None:
    with LocalPlatform(settings, services=(FIRST,), reporter=Closed()) as platform:
        platform.start()
        for _ in range(2):
            before = platform.pid("first")
            assert before
            os.kill(before, signal.SIGKILL)
            until(
                lambda before=before: platform.states()["first"] == "up" and platform.pid("first") not in (None, before)
            )


def test_a_lock_that_was_left_behind_is_nobodys_to_two_who_look_at_once(settings: Settings) -> None:
    file = settings.state / "locks" / "monitor"
    file.parent.mkdir(parents=True)
    file.write_text("4711")
    with file.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as `parfocal status` for a moment
        assert local_record.holder(settings.state, "monitor") is None


def test_a_service_that_keeps_dying_is_given_more_and_more_time(settings: Settings) -> None:
    heard = Heard()
    mark = settings.state.parent / "born"
    script = f"test -e {mark} && exit 3; touch {mark}; exec "
    once = Service("once", lambda place: ["sh", "-c", script + " ".join(web("once").command(place))], live="/")
    with LocalPlatform(settings, services=(once,), reporter=heard) as platform:
        platform.start()
        os.kill(platform.pid("once") or 0, signal.SIGKILL)
        until(lambda: sum("starting it again" in note for note in heard.notes) >= 3)
    pauses = [float(note.split()[-2]) for note in heard.notes if "starting it again" in note]
    assert pauses[:3] == [0.5, 1.0, 2.0]


def test_a_service_that_was_stopped_stays_down_until_it_is_started(settings: Settings) -> None:
    with LocalPlatform(settings, services=(FIRST,)) as platform:
        platform.start("first")
        address = platform.addresses["first"]
        platform.stop("first")
        time.sleep(1.2)
        assert not platform.alive("first")
        assert platform.states()["first"] == "stopped"
        platform.start("first")
        assert platform.alive("first")
        assert platform.addresses["first"] == address


def test_a_service_that_cannot_start_says_why_and_takes_its_companions_down(settings: Settings) -> None:
    broken = Service("broken", dying, live="/")
    with LocalPlatform(settings, services=(FIRST, broken, web("third", "broken"))) as platform:
        with pytest.raises(OutsideServiceError, match=r"broken ended with code 4(?s:.*)the moon is down") as caught:
            platform.start()
        assert caught.value.where == str(settings.state / "logs" / "broken.log")
        assert not platform.alive("first")
        assert platform.states()["third"] == "waiting"


def test_one_state_has_one_platform(settings: Settings) -> None:
    with LocalPlatform(settings, services=(FIRST, SECOND)):
        with (
            pytest.raises(UsageError, match="second runs already") as caught,
            LocalPlatform(settings, services=(SECOND,)),
        ):
            pass
        assert "parfocal down" in caught.value.next
        with LocalPlatform(settings, services=(web("other"),), name="monitor"):
            assert [record["manages"] for record in local_record.running(settings.state)] == [
                ["first", "second"],
                ["other"],
            ]
    with LocalPlatform(settings, services=(SECOND,)):
        pass


def test_a_port_may_be_named_and_must_be_free(settings: Settings) -> None:
    port = free_port()
    with LocalPlatform(settings, services=(FIRST,), ports={"first": port}) as platform:
        platform.start()
        assert platform.addresses == {"first": f"http://127.0.0.1:{port}"}
        other = settings.model_copy(update={"state": settings.state.parent / "other"})
        with (
            pytest.raises(UsageError, match=f"port {port} for first is taken"),
            LocalPlatform(other, services=(FIRST,), ports={"first": port}),
        ):
            pass
    with pytest.raises(UsageError, match="same port"):
        LocalPlatform(settings, services=(FIRST, SECOND), ports={"first": port, "second": port})
    with pytest.raises(UsageError, match="no service 'thrid'"):
        LocalPlatform(settings, services=(FIRST,), only=("thrid",))


def test_what_is_not_installed_is_left_out(settings: Settings) -> None:
    ghost = Service("ghost", dying, live="/", program="no-such-program")
    with LocalPlatform(settings, services=(FIRST, ghost)) as platform:
        platform.start("first", "ghost")
        assert platform.left_out == ("ghost",)
        assert set(platform.states()) == {"first"}


SUPERVISOR = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_local_platform import FIRST, SECOND, LocalPlatform, Settings
with LocalPlatform(Settings(state=Path(sys.argv[1])), services=(FIRST, SECOND)) as platform:
    platform.start()
    time.sleep(600)
"""


def test_nothing_is_left_of_a_platform_that_was_killed_and_the_next_one_starts(settings: Settings) -> None:
    words = [str(settings.state), str(Path(__file__).parent)]
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, *words])
    record = settings.state / "platform.json"
    until(lambda: record.exists() and json.loads(record.read_text())["ready"])
    services = json.loads(record.read_text())["services"].values()
    supervisor.kill()
    supervisor.wait()
    until(lambda: not any(psutil.pid_exists(service["pid"]) for service in services))
    assert local_record.running(settings.state) == []
    with LocalPlatform(settings, services=(FIRST,)) as platform:
        platform.start()


def test_down_ends_a_platform_of_another_process_and_waits_for_it(settings: Settings) -> None:
    words = [str(settings.state), str(Path(__file__).parent)]
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, *words])
    record = settings.state / "platform.json"
    until(lambda: record.exists() and json.loads(record.read_text())["ready"])
    services = json.loads(record.read_text())["services"].values()
    assert local_record.stop(settings.state) == ["first", "second"]
    assert not any(psutil.pid_exists(service["pid"]) for service in services)
    assert supervisor.wait(60) != 0
    assert local_record.stop(settings.state) == []


def test_the_record_says_where_everything_is(settings: Settings) -> None:
    with LocalPlatform(settings, services=(FIRST, SECOND)) as platform:
        platform.start("first")
        (record,) = local_record.running(settings.state)
        first = record["services"]["first"]
        assert record["supervisor"] == os.getpid()
        assert record["manages"] == ["first", "second"]
        assert first["pid"] == platform.pid("first")
        assert first["address"] == platform.addresses["first"]
        assert Path(first["log"]).is_file()


def test_the_token_is_made_once_for_its_owner_alone(settings: Settings) -> None:
    made = token(settings)
    assert len(made) > 30
    assert token(settings) == made
    assert stat.S_IMODE((settings.state / "token").stat().st_mode) == 0o600
    assert token(settings.model_copy(update={"token": "mine"})) == "mine"


PORTS = {"mlflow": 1, "segmenter": 2, "monitor": 3, "prometheus": 4, "alertmanager": 5}
BY_NAME = {service.name: service for service in SERVICES}


def test_every_service_is_told_where_the_others_are(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_MONITOR_URL", "http://somewhere.else")
    place = Place(settings, PORTS, token="secret", workers=2, extra={"PARFOCAL_RUN_CONFIG": "run.json"})
    for service in SERVICES:
        told = environment(service, place)
        assert told["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"
        assert told["PARFOCAL_MONITOR_URL"] == "http://127.0.0.1:3"
        assert told["PARFOCAL_STATE"] == str(settings.state.resolve())
        assert told["PARFOCAL_RUN_CONFIG"] == "run.json"
        assert "secret" not in " ".join(service.command(place))
    assert environment(BY_NAME["segmenter"], place)["PARFOCAL_SEGMENTER_WORKERS"] == "2"
    assert environment(BY_NAME["monitor"], place)["PARFOCAL_TRIGGER_PATH"] == "alertmanager"


def test_without_alertmanager_the_monitor_wakes_its_own_trigger(settings: Settings) -> None:
    assert trigger_path(Place(settings, {"monitor": 3, "prometheus": 4})) == "monitor"


def test_a_registry_that_somebody_else_runs_is_used(settings: Settings) -> None:
    theirs = settings.model_copy(update={"tracking_uri": "http://mlflow:5000"})
    platform = LocalPlatform(theirs)
    assert "mlflow" not in platform._services
    assert platform.addresses["mlflow"] == "http://mlflow:5000"
    place = Place(theirs, {"monitor": 3})
    assert environment(BY_NAME["follower"], place)["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


@pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="prometheus or prometheus-alertmanager is not installed: `make system` installs them",
)
def test_the_real_prometheus_sends_the_alarm_to_the_monitor(settings: Settings, tmp_path: Path) -> None:
    """A breach at /metrics reaches the monitor's /alerts with the token, through the real programs."""
    monitor = tmp_path / "monitor.py"
    monitor.write_text(FAKE_MONITOR)
    words = [sys.executable, str(monitor), str(tmp_path)]
    fake = Service("monitor", lambda place: [*words, str(place.ports["monitor"])], live="/livez")
    with LocalPlatform(settings, services=(fake, BY_NAME["prometheus"], BY_NAME["alertmanager"])) as platform:
        platform.start()
        (tmp_path / "breach").touch()
        until(lambda: (tmp_path / "alerts").exists() and (tmp_path / "alerts").read_text().endswith("\n"))
        lines = (tmp_path / "alerts").read_text().splitlines()
    authorization, body = lines[0].split(" | ", 1)
    assert authorization == f"Bearer {platform.token}"
    (alert,) = json.loads(body)["alerts"]
    assert alert["labels"] == {
        "alertname": "DriftAlarm", "severity": "warning", "task": "fundus", "instrument": "B", "stream": "appearance"
    }  # fmt: skip


FAKE_MONITOR = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
here = Path(sys.argv[1])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        value = int((here / "breach").exists())
        self.reply(f'parfocal_drift_alarm{{task="fundus",instrument="B",stream="appearance"}} {value}\\n'.encode())
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with (here / "alerts").open("a") as stream:
            stream.write(f"{self.headers['Authorization']} | {body}\\n")
        self.reply(b"")
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""
