"""What the demo reads from the monitor's state."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from parfocal.cli.demo import watch
from parfocal.core.errors import OutsideServiceError


def stream(name: str = "framing", **more: Any) -> dict[str, Any]:
    return {"name": name, "statistic": 1.0, "threshold": 8.0, "alarm": False, "alarm_at": None, **more}


def state(**more: Any) -> dict[str, Any]:
    return {"champion": {"version": "1"}, "instruments": [], "decisions": [], "runs": [], "observations": 0, **more}


def seen(name: str, *streams: dict[str, Any], observations: int = 3) -> dict[str, Any]:
    return state(instruments=[{"name": name, "observations": observations, "streams": list(streams)}])


def test_only_streams_in_alarm_of_that_instrument_are_alarms() -> None:
    quiet, loud = stream("appearance"), stream("framing", alarm=True, alarm_at=4)
    assert watch.alarms(seen("B", quiet, loud), "B") == [loud]
    assert watch.alarms(seen("B", quiet, loud), "A") == []


@pytest.mark.parametrize(
    ("streams", "says"),
    [
        ([stream()], ""),
        ([stream(threshold=None), stream()], ""),
        ([stream(threshold=None, reason="81 cases promise nothing")], "81 cases promise nothing"),
        ([stream(threshold=None)], "too small"),
        ([], "no drift reference"),
    ],
)
def test_an_instrument_without_any_threshold_is_known_to_stay_silent(streams: list[dict[str, Any]], says: str) -> None:
    found = watch.deaf(seen("B", *streams), "B")
    assert bool(found) == bool(says)
    assert says in found


def test_observations_are_waited_for_by_instrument_and_in_all() -> None:
    now = seen("B", observations=3) | {"observations": 5}
    assert watch.received("B", 3)(now) == now
    assert watch.received("B", 4)(now) is None
    assert watch.received("A", 1)(now) is None
    assert watch.received("A", 0)(now) == now
    assert watch.received_in_all(5)(now) == now
    assert watch.received_in_all(6)(now) is None


def test_the_monitor_follows_a_version_whatever_type_it_has() -> None:
    assert watch.follows("2")(state(champion={"version": 2}))
    assert watch.follows("2")(state()) is None
    assert watch.follows("2")(state(champion=None)) is None


def run(**more: Any) -> dict[str, Any]:
    return {"key": "k2", "instrument": "B", "run_id": "", "state": "decided", "error": "", **more}


def test_a_run_is_launched_once_the_launcher_knows_it_or_it_failed_before() -> None:
    assert watch.launched(state(), "B") is None
    assert watch.launched(state(runs=[run()]), "B") is None
    assert watch.launched(state(runs=[run(run_id="r")]), "A") is None
    newest, older = run(run_id="r"), run(key="k1", run_id="q", state="succeeded")
    assert watch.launched(state(runs=[newest, older]), "B") == newest
    failed = run(state="failed", error="no such pipeline")
    assert watch.launched(state(runs=[failed]), "B") == failed


def test_a_run_has_ended_when_its_own_state_says_so() -> None:
    other = run(key="k1", state="succeeded")
    assert watch.ended(state(runs=[run(state="running"), other]), "k2") is None
    for word in ("succeeded", "failed", "cancelled"):
        assert watch.ended(state(runs=[run(state=word), other]), "k2") == run(state=word)


def test_the_decision_to_start_is_found_among_others() -> None:
    decisions = [{"key": "k", "action": "none"}, {"key": "j", "action": "start"}, {"key": "k", "action": "start"}]
    assert watch.start_of(state(decisions=decisions), "k") is decisions[2]


class Handler(BaseHTTPRequestHandler):
    """Two refusals, then states in which one more observation has arrived each time."""

    asked = 0
    words = ""

    def do_GET(self) -> None:
        type(self).asked += 1
        body = json.dumps(state(observations=self.asked)).encode()
        self._answer(200 if self.asked > 2 else 503, body)

    def do_POST(self) -> None:
        type(self).words = f"{self.path} {self.headers['Authorization']}"
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(400, b"a mask without an image")

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def monitor() -> Iterator[str]:
    Handler.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_monitor_that_comes_back_is_waited_for(monitor: str) -> None:
    found = watch.Monitor(monitor, "secret").wait("observations", watch.received_in_all(5), 60, every=0.01)
    assert found["observations"] == 5


def test_what_does_not_come_in_time_is_named(monitor: str) -> None:
    with pytest.raises(OutsideServiceError, match="the labels did not come within 0 s"):
        watch.Monitor(monitor, "secret").wait("the labels", watch.received_in_all(10**6), 0.05, every=0.01)


def test_a_monitor_that_stays_silent_is_an_error_with_its_address(monitor: str) -> None:
    with pytest.raises(OutsideServiceError) as raised:
        watch.Monitor("http://127.0.0.1:9", "secret", patience=0.1).state()
    assert "127.0.0.1:9" in raised.value.where


def test_a_case_that_is_not_taken_says_why_and_the_token_went_with_it(monitor: str) -> None:
    with pytest.raises(OutsideServiceError, match="a mask without an image"):
        watch.Monitor(monitor, "secret").hand_in("fundus", "my camera", {"image": ("a.png", b"x")}, patient="p")
    assert Handler.words == "/cases/fundus/my%20camera Bearer secret"
