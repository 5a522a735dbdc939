"""Who may do what, over every route that the two services really have."""

import os
from pathlib import Path
from typing import Any

import pytest
from parfocal_serving.security.audit import Audit
from parfocal_serving.security.guard import Guard, Protection
from parfocal_serving.security.rules import MONITOR, READING, REST, SEGMENTER, rule
from parfocal_serving.security.tokens import Keeper
from security_kit import ROLES, bearer, monitor, routes, token
from starlette.applications import Starlette
from starlette.testclient import TestClient

from parfocal.adapters.settings import Settings

KNOCKS = {("POST", "/api/session"), ("POST", "/webhooks/mlflow")}
"""What may be sent without a token: a token in the body, and what is signed."""
PROMISED = {
    ("POST", "/observations"): {"observe"},
    ("POST", "/alerts"): {"observe"},
    ("POST", "/cases/fundus/B"): {"annotate"},
    ("POST", "/detectors/B/reset"): {"operate"},
    ("POST", "/runs/k/retry"): {"operate"},
    ("POST", "/candidates/c/name"): {"operate"},
    ("POST", "/api/annotate/next"): {"annotate"},
    ("GET", "/api/annotate/cases/x/image"): {"annotate"},
    ("PUT", "/api/annotate/cases/x/draft"): {"annotate"},
    ("GET", "/"): {"annotate", "operate", "observe"},
    ("GET", "/metrics"): {"operate", "observe"},
    ("POST", "/what-nobody-thought-of"): {"operate"},
    ("GET", "/livezz"): {"operate"},
}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both applications, of guarded services that nobody has a token for yet, and neither of which works."""
    state = tmp_path_factory.mktemp("services")
    (state / "tokens.json").unlink(missing_ok=True)
    token(state, "somebody", "segment")
    client = monitor(state)
    before = dict(os.environ)
    os.environ["PARFOCAL_STATE"] = str(state)
    try:
        from parfocal_serving.segmenter import service

        held = service.Segmenter.to_asgi(is_main=True)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"monitor": client.app, "segmenter": held, "client": client}


def every(services: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(name, *found) for name in ("monitor", "segmenter") for found in routes(services[name])]


def test_every_route_of_both_services_has_a_rule(services: dict[str, Any]) -> None:
    found = every(services)
    assert len(found) > 30
    table = {"monitor": MONITOR, "segmenter": SEGMENTER}
    without = [row for row in found if rule(table[row[0]], row[1], row[2]) is REST]
    assert not without, f"add a line to serving/security/rules.py for {without}"


def test_nothing_that_writes_is_for_anybody(services: dict[str, Any]) -> None:
    table = {"monitor": MONITOR, "segmenter": SEGMENTER}
    writes = [row for row in every(services) if row[1] not in READING]
    free = {(method, path) for name, method, path in writes if not rule(table[name], method, path).roles}
    assert free == KNOCKS
    assert not REST.roles - {"operate"}
    assert REST.roles


def test_without_a_token_no_handler_of_the_real_monitor_is_reached(services: dict[str, Any]) -> None:
    client: TestClient = services["client"]
    for method, path in routes(client.app):
        line = rule(MONITOR, method, path)
        if line.roles:
            assert client.request(method, path, content=b"{}").status_code == 401, (method, path)
            assert client.request(method, path, headers=bearer("pf_00000000_x")).status_code == 401, (method, path)


@pytest.mark.parametrize(("method", "path"), sorted(PROMISED), ids=str)
def test_the_table_says_what_was_promised(method: str, path: str) -> None:
    assert rule(MONITOR, method, path).roles == PROMISED[method, path]


def test_every_role_gets_to_what_is_its_own_and_to_nothing_else(services: dict[str, Any], tmp_path: Path) -> None:
    words = {role: token(tmp_path, role, role) for role in ROLES}
    settings = Settings(state=tmp_path, token="the-installation's", open=False)
    reached: list[str] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    for name, table in (("monitor", MONITOR), ("segmenter", SEGMENTER)):
        app = Guard(answer, Protection(Keeper(settings), table, Audit(tmp_path, name)))
        client = TestClient(app, base_url="http://service")
        holders = {**{role: ({role}, word) for role, word in words.items()}}
        holders["installation"] = ({"observe", "segment"}, "the-installation's")
        for method, path in routes(services[name]):
            wanted = rule(table, method, path).roles
            for roles, word in holders.values():
                status = client.request(method, path, headers=bearer(word)).status_code
                assert status == (204 if not wanted or wanted & roles else 403), (method, path, roles)
    assert reached


def test_a_pattern_ends_where_a_part_of_the_path_ends() -> None:
    assert rule(MONITOR, "POST", "/casesx").roles == {"operate"}
    assert rule(SEGMENTER, "POST", "/segmentation") is REST
    assert rule(MONITOR, "HEAD", "/metrics") is rule(MONITOR, "GET", "/metrics")
    assert not rule(MONITOR, "POST", "/api/annotate/cases/x/refine").audited
    assert rule(MONITOR, "POST", "/api/annotate/cases/x/accept").audited


def test_a_web_socket_is_closed(tmp_path: Path) -> None:
    from starlette.websockets import WebSocketDisconnect

    client = TestClient(
        Guard(Starlette(), Protection(Keeper(Settings(state=tmp_path)), MONITOR, Audit(tmp_path, "monitor")))
    )
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/"):
        pass
    assert closed.value.code == 1008


def test_a_token_may_be_a_password_but_not_of_a_page_from_elsewhere(tmp_path: Path) -> None:
    word = token(tmp_path, "studio", "operate")
    client = monitor(tmp_path)
    assert client.get("/api/nothing", auth=("anybody", word)).status_code == 404
    assert client.get("/api/nothing", auth=(word, "anything")).status_code == 401
    for said in ("Basic", "Basic !", "Basic /w==", "Digest x"):
        assert client.get("/api/nothing", headers={"Authorization": said}).status_code == 401
    evil = {"Origin": "https://evil.example"}
    assert client.post("/api/nothing", auth=("anybody", word), headers=evil).status_code == 403
    assert client.post("/api/nothing", headers={**evil, **bearer(word)}).status_code == 404
