"""Pages: signing in, what a page must send to write, and what a stolen cookie is worth."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from parfocal_serving.security.guard import cookie_name, set_cookie
from parfocal_serving.security.sessions import IDLE, LONGEST, RENEWED, Session, Sessions
from security_kit import FAR, audited, bearer, monitor, token
from starlette.testclient import TestClient

from parfocal.adapters.tokens import TokenStore

RESET = {"reason": "a dirty lens"}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[TestClient]:
    """A browser at a running monitor; `word` is a token that may operate."""
    with monitor(tmp_path) as client:
        yield client


@pytest.fixture(autouse=True)
def word(tmp_path: Path) -> str:
    return token(tmp_path, "Ada", "operate")


def sign_in(page: TestClient, word: str) -> str:
    """The CSRF token of a new session."""
    answer = page.post("/api/session", json={"token": word})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrf"])


def reset(page: TestClient, **headers: str) -> int:
    return page.post("/detectors/nobody/reset", json=RESET, headers=headers).status_code


def test_a_browser_without_a_session_is_sent_to_sign_in_and_a_program_is_not(page: TestClient) -> None:
    answer = page.get("/api/history?x=1", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fapi%2Fhistory%3Fx%3D1")
    assert page.get("/api/history").status_code == 401
    shown = page.get("/sign-in")
    assert shown.status_code == 200
    for file in ("sign-in.js", "sign-in.css"):
        assert f"/sign-in/static/{file}" in shown.text
        assert page.get(f"/sign-in/static/{file}").status_code == 200
    assert "<script>" not in shown.text
    assert "style=" not in shown.text


def test_signing_in_gives_a_cookie_that_no_script_and_no_other_site_can_use(page: TestClient, word: str) -> None:
    answer = page.post("/api/session", json={"token": word})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert word not in cookie
    assert answer.json()["name"] == "Ada"
    assert page.get("/api/state").status_code == 200
    assert page.get("/api/session").json()["csrf"] == answer.json()["csrf"]


def test_with_tls_the_cookie_is_secure_and_bound_to_the_host() -> None:
    scope = {"type": "http", "scheme": "https"}
    assert "Secure" in set_cookie(scope, "x")
    assert cookie_name(scope).startswith("__Host-")
    assert "Secure" not in set_cookie({"type": "http", "scheme": "http"}, "x")


def test_a_page_writes_with_the_csrf_token_alone(page: TestClient, word: str) -> None:
    said = sign_in(page, word)
    assert reset(page) == 403
    assert reset(page, **{"X-CSRF-Token": "0" * 64}) == 403
    assert reset(page, **{"X-CSRF-Token": said, "Origin": "https://evil.example"}) == 403
    assert reset(page, **{"X-CSRF-Token": said, "Origin": "null"}) == 403
    assert reset(page, **{"X-CSRF-Token": said, "Origin": "http://monitor:8081"}) == 400, "reached: nobody is watched"
    page.cookies.clear()
    assert reset(page, **{"X-CSRF-Token": said}) == 401
    assert reset(page, **bearer(word)) == 400, "a program with its token needs none"


def test_whoever_is_signed_in_may_sign_in_as_another(page: TestClient, word: str, tmp_path: Path) -> None:
    """The sign-in page knows no session: it was told that it is no page of ours."""
    sign_in(page, token(tmp_path, "Bob", "annotate"))
    sign_in(page, word)
    assert page.get("/api/session").json()["name"] == "Ada"


def test_another_site_cannot_sign_a_browser_in(page: TestClient, word: str) -> None:
    answer = page.post("/api/session", json={"token": word}, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_session_may_no_more_than_its_token(page: TestClient, tmp_path: Path) -> None:
    said = sign_in(page, token(tmp_path, "Bob", "annotate"))
    answer = page.post("/detectors/nobody/reset", json=RESET, headers={"X-CSRF-Token": said})
    assert answer.status_code == 403
    assert "operate" in answer.json()["error"]["expected"]


def test_a_stolen_cookie_ends_with_the_token_and_with_signing_out(page: TestClient, word: str, tmp_path: Path) -> None:
    said = sign_in(page, word)
    stolen = dict(page.cookies)
    with monitor(tmp_path) as other:  # also after a restart
        other.cookies.update(stolen)
        assert other.get("/api/session").status_code == 200
        assert page.delete("/api/session").status_code == 403, "signing out is a write too"
        assert page.delete("/api/session", headers={"X-CSRF-Token": said}).status_code == 204
        assert not page.cookies
        assert other.get("/api/session").status_code == 401
        sign_in(page, word)
        TokenStore(tmp_path / "tokens.json").revoke("Ada")
        assert page.get("/api/state").status_code == 401


def test_a_forged_cookie_is_none(page: TestClient, word: str, tmp_path: Path) -> None:
    sign_in(page, word)
    value = page.cookies["parfocal"]
    id_ = value.split(".")[0]
    other = Sessions(tmp_path / "elsewhere")
    altered = [value.replace(".", ".0", 1), f"{value[:-9]}AAAAAAAAA"]
    forgeries = [*altered, other.cookie(other.begin(id_)), id_, "a.b.c", ""]
    for forged in forgeries:
        page.cookies.clear()
        page.cookies.set("parfocal", forged)
        assert page.get("/api/state").status_code == 401, forged


def test_a_session_ends_when_it_is_not_used_and_after_half_a_day_at_last(tmp_path: Path) -> None:
    now = [1_000_000.0]
    sessions = Sessions(tmp_path, lambda: now[0])
    session = sessions.begin("id")
    cookie = sessions.cookie(session)
    now[0] += RENEWED + 1
    found = sessions.read(cookie)
    assert found
    assert sessions.due(found)
    renewed = sessions.cookie(found)
    now[0] += IDLE - 1
    assert sessions.read(cookie) is None
    kept = sessions.read(renewed)
    assert kept
    while now[0] < session.began + LONGEST:
        now[0] += IDLE - 1
        last, kept = kept, sessions.read(sessions.cookie(kept))
        assert last
        if kept is None:
            break
    assert now[0] - session.began > LONGEST


def test_two_monitors_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def begin(_: int) -> str:
        start.wait()
        sessions = Sessions(tmp_path)
        return sessions.csrf(Session("one", "token", 0, 0))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(begin, range(8)))) == 1


def test_people_who_sign_out_of_two_monitors_at_once_are_both_out(tmp_path: Path) -> None:
    monitors = [Sessions(tmp_path) for _ in range(4)]
    for _ in range(20):
        sessions, start = [one.begin("token") for one in monitors], threading.Barrier(4)

        def end(number: int, sessions: list[Session] = sessions, start: threading.Barrier = start) -> None:
            start.wait()
            monitors[number].end(sessions[number])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(end, range(4)))
        assert [Sessions(tmp_path).read(monitors[0].cookie(session)) for session in sessions] == [None] * 4


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    Sessions(tmp_path)
    assert (tmp_path / "session.key").stat().st_mode & 0o777 == 0o600


def test_wrong_tokens_are_slowed_down_and_the_right_one_always_gets_in(page: TestClient, word: str) -> None:
    given = [page.post("/api/session", json={"token": f"pf_{i:08x}_x"}) for i in range(12)]
    assert [answer.status_code for answer in given] == [401] * 10 + [429] * 2
    assert given[-1].headers["retry-after"] == "60"
    assert sign_in(page, word)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"token": 1}', b"[" * 10_000, b'{"token": "\\ud800"}'])
def test_what_is_no_token_does_not_sign_in(page: TestClient, body: bytes) -> None:
    assert page.post("/api/session", content=body).status_code == 401


def test_an_open_monitor_says_that_nobody_signs_in(tmp_path: Path) -> None:
    client = monitor(tmp_path, open=True)
    client = TestClient(client.app, base_url="http://127.0.0.1:8081", client=("127.0.0.1", 1))
    answer = client.get("/api/session").json()
    assert (answer["open"], answer["name"]) == (True, "")


def test_no_token_is_ever_in_the_audit_log(page: TestClient, word: str, tmp_path: Path) -> None:
    sign_in(page, word)
    page.post("/api/session", json={"token": "pf_12345678_wrong-but-near"})
    page.post("/detectors/nobody/reset", json=RESET, headers=bearer(word))
    log = audited(tmp_path)
    assert log.count("\n") == 3
    assert word.split("_", 2)[2] not in log
    assert "wrong-but-near" not in log
    assert FAR[0] in log
