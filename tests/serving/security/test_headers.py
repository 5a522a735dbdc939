"""What every answer of the monitor tells a browser, errors too; and the open service."""

from pathlib import Path
from typing import Any

import pytest
from parfocal_serving.security import headers
from parfocal_serving.security.audit import Audit
from parfocal_serving.security.guard import Guard, Protection
from parfocal_serving.security.rules import MONITOR
from parfocal_serving.security.tokens import Keeper
from security_kit import FAR, bearer, monitor, routes, token
from starlette.testclient import TestClient

from parfocal.adapters.local_platform import LocalPlatform
from parfocal.adapters.settings import Settings
from parfocal.core.errors import UsageError

HERE = ("127.0.0.1", 50000)


def opened(state: Path, host: tuple[str, int] = HERE, base: str = "http://127.0.0.1:8081") -> TestClient:
    return TestClient(monitor(state, open=True).app, base_url=base, client=host)


def test_every_answer_has_them_errors_too(tmp_path: Path) -> None:
    word = token(tmp_path, "Ada", "operate", "annotate", "observe")
    with monitor(tmp_path) as client:
        paths = {path for method, path in routes(client.app) if method == "GET"} | {"/sign-in", "/nothing"}
        seen = set()
        for path in sorted(paths):
            for said in ({}, bearer(word)):
                answer = client.get(path, headers=said)
                seen.add(answer.status_code)
                missing = [name for name in (*headers.ALWAYS, "X-Request-ID") if name not in answer.headers]
                assert not missing, (path, answer.status_code, missing)
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert "Strict-Transport-Security" not in answer.headers, "this was plain HTTP"
        too_long = client.post("/cases/fundus/B", headers={**bearer(word), "Content-Length": "999999999"})
        assert (too_long.status_code, too_long.headers["X-Frame-Options"]) == (413, "DENY")
        assert {200, 401, 404} <= seen


def test_a_page_may_load_nothing_from_elsewhere_and_nothing_inline(tmp_path: Path) -> None:
    token(tmp_path, "Ada", "operate")
    policy = monitor(tmp_path).get("/sign-in").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("a bug")


def guarded(state: Path, app: Any, **settings: Any) -> Guard:
    keeper = Keeper(Settings(state=state, **{"open": True, "token": "", **settings}))
    return Guard(app, Protection(keeper, MONITOR, Audit(state, "monitor")))


def test_a_bug_is_answered_with_them_and_tells_nothing(tmp_path: Path) -> None:
    app = guarded(tmp_path, failing)
    client = TestClient(app, base_url="https://127.0.0.1", client=HERE, raise_server_exceptions=False)
    answer = client.get("/api/state", headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 500
    assert "a bug" not in answer.json()["error"]["what"]
    assert answer.headers["X-Request-ID"] == answer.json()["error"]["where"] == "mine-1"
    assert answer.headers["Strict-Transport-Security"] == headers.HSTS
    assert client.get("/api/state", headers={"X-Request-ID": "no\tid"}).headers["X-Request-ID"] != "no\tid"


def test_an_open_service_serves_this_machine_by_its_own_name_alone(tmp_path: Path) -> None:
    assert opened(tmp_path).get("/api/state").status_code == 200
    assert opened(tmp_path, base="http://localhost:8081").get("/api/state").status_code == 200
    assert opened(tmp_path, base="http://[::1]:8081").get("/api/state").status_code == 200
    assert opened(tmp_path, FAR).get("/api/state").status_code == 403
    assert opened(tmp_path, base="http://evil.example:8081").get("/api/state").status_code == 403, "rebound to here"
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert opened(tmp_path).get("/livez", headers={header: "127.0.0.1"}).status_code == 403, "a proxy stands here"


def test_an_open_service_is_not_written_to_by_a_page_from_elsewhere(tmp_path: Path) -> None:
    client = opened(tmp_path)
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        assert client.post("/alerts", content=b"{}", headers={"Origin": origin}).status_code == 403
    assert client.post("/alerts", content=b"{}", headers={"Origin": "http://127.0.0.1:8081"}).status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_an_open_service_does_not_listen_to_others(tmp_path: Path, host: str) -> None:
    from parfocal_serving.security.listening import demand_sound

    settings = Settings(state=tmp_path, open=True)
    with pytest.raises(UsageError, match="open service does not listen"):
        demand_sound(settings, host)
    with pytest.raises(UsageError, match="open service does not listen"):
        LocalPlatform(settings, only=("monitor",), host=host)
    demand_sound(settings, "127.0.0.1")
    demand_sound(settings.model_copy(update={"open": False}), host)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    from parfocal_serving.security.listening import demand_sound

    with pytest.raises(UsageError, match="without its key"):
        demand_sound(Settings(state=tmp_path, tls_certificate=tmp_path / "c.pem"), "127.0.0.1")
