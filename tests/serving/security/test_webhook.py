"""MLflow's webhook: signed by MLflow's own code, and what is old, altered or sent again."""

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from parfocal_serving.security.webhook import WINDOW, ForgedError, Signed
from security_kit import SECRET, audited, monitor, token
from starlette.testclient import TestClient

from parfocal.adapters import nudge

URL = "/webhooks/mlflow"


class Recorded:
    """Stands where MLflow's HTTP session does."""

    def post(self, url: str, data: bytes, headers: Mapping[str, str], timeout: float) -> None:
        assert timeout > 0
        self.url, self.body, self.headers = url, data, dict(headers)


def sent(event: str = "model_version_alias.created", secret: str = SECRET) -> Recorded:
    """A call as the pinned MLflow makes it."""
    from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookStatus
    from mlflow.webhooks import delivery

    chosen = WebhookEvent.from_str(event)
    hook = Webhook(
        webhook_id="1", name="moved", url="https://192.0.32.7/webhooks/mlflow", events=[chosen], secret=secret,
        creation_timestamp=0, last_updated_timestamp=0, status=WebhookStatus.ACTIVE,
    )  # fmt: skip
    recorded = Recorded()
    payload: Any = {"name": "fundus", "alias": "champion", "version": "2"}
    delivery._send_webhook_request(hook, payload, chosen, recorded)  # type: ignore[arg-type]
    return recorded


@pytest.fixture
def running(tmp_path: Path) -> Iterator[TestClient]:
    token(tmp_path, "Ada", "operate")
    with monitor(tmp_path) as client:
        yield client


def test_what_mlflow_signs_wakes_the_follower_once(running: TestClient, tmp_path: Path) -> None:
    call, file = sent(), tmp_path / "serving" / "fundus" / nudge.FILE
    answer = running.post(URL, content=call.body, headers=call.headers)
    assert (answer.status_code, answer.json()) == (200, {"woken": True})
    assert file.exists()
    file.unlink()
    assert running.post(URL, content=call.body, headers=call.headers).json() == {"woken": False}, "it came twice"
    assert not file.exists()
    assert '"who": "mlflow"' in audited(tmp_path)


def test_another_event_wakes_nobody(running: TestClient, tmp_path: Path) -> None:
    call = sent("registered_model.created")
    assert running.post(URL, content=call.body, headers=call.headers).json() == {"woken": False}
    assert not (tmp_path / "serving" / "fundus" / nudge.FILE).exists()


def test_what_is_altered_old_or_not_signed_with_our_secret_is_refused(running: TestClient, tmp_path: Path) -> None:
    call = sent()
    other = call.body.replace(b"champion", b"champi0n")
    assert other != call.body
    later = {**call.headers, "X-MLflow-Timestamp": str(int(time.time()) + 1)}
    renamed = {**call.headers, "X-MLflow-Delivery-Id": "another"}
    version = {**call.headers, "X-MLflow-Signature": call.headers["X-MLflow-Signature"].replace("v1,", "v2,")}
    bare = {name: value for name, value in call.headers.items() if name != "X-MLflow-Signature"}
    forged = sent(secret="theirs")
    for body, headers in (
        (other, call.headers), (call.body, later), (call.body, renamed), (call.body, version), (call.body, bare),
        (call.body, {}), (forged.body, forged.headers), (b"x" * 1_000_001, call.headers),
    ):  # fmt: skip
        assert running.post(URL, content=body, headers=headers).status_code == 401
    assert not (tmp_path / "serving" / "fundus" / nudge.FILE).exists()


def lowered(call: Recorded) -> dict[str, str]:
    return {name.lower(): value for name, value in call.headers.items()}


@pytest.mark.parametrize(("shift", "fresh"), [(WINDOW - 5, True), (WINDOW + 5, False), (-WINDOW - 5, False)])
def test_a_call_is_good_for_five_minutes(shift: float, fresh: bool) -> None:
    call = sent()
    signed = Signed(SECRET, lambda: time.time() + shift)
    if fresh:
        assert signed.check(lowered(call), call.body)
    else:
        with pytest.raises(ForgedError, match="clock"):
            signed.check(lowered(call), call.body)


def test_a_delivery_is_remembered_for_longer_than_it_is_good() -> None:
    now = [1000.0]
    signed = Signed(SECRET, lambda: now[0])
    signed.done("a")
    now[0] += 2 * WINDOW - 1
    signed.done("b")
    assert signed.again("a")
    now[0] += 2
    signed.done("c")
    assert not signed.again("a")


def test_without_a_secret_no_call_is_believed(tmp_path: Path) -> None:
    token(tmp_path, "Ada", "operate")
    call = sent(secret="")
    client = monitor(tmp_path, webhook_secret="")
    assert client.post(URL, content=call.body, headers=call.headers).status_code == 401


def test_a_nudge_ends_the_followers_pause(tmp_path: Path) -> None:
    stopping = threading.Event()
    threading.Timer(0.15, nudge.nudge, [tmp_path / "fundus"]).start()
    began = time.monotonic()
    nudge.wait(stopping, [tmp_path / "lung", tmp_path / "fundus"], 300)
    assert time.monotonic() - began < 100
    assert not (tmp_path / "fundus" / nudge.FILE).exists()
