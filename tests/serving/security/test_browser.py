"""Signing in, in a real browser."""

from pathlib import Path

import pages_kit
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from security_kit import token

WRITES = """async () => {
  const { name, csrf } = await (await fetch("/api/session")).json();
  const reset = (headers) => fetch("/detectors/x/reset", { method: "POST", headers, body: '{"reason": "dust"}' });
  const seen = [name, (await reset({})).status, (await reset({ "X-CSRF-Token": csrf })).status];
  const out = await fetch("/api/session", { method: "DELETE", headers: { "X-CSRF-Token": csrf } });
  return [...seen, out.status, (await fetch("/api/session")).status];
}"""


def test_a_person_signs_in_by_typing_or_by_the_link_and_signs_out(tmp_path: Path) -> None:
    word = token(tmp_path, "Ada", "operate")
    app = build(MonitorSettings(state=tmp_path, token="", open=False, database_url=""))
    with pages_kit.serving(app) as url, pages_kit.chromium() as browser:
        page = browser.new_page()
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{url}/")
        assert page.url == f"{url}/sign-in?next=%2F"
        page.get_by_label("Your token").fill("pf_00000000_wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").get_by_text("no valid token").wait_for()
        page.get_by_label("Your token").fill(word)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")
        assert page.evaluate("document.cookie") == "", "no script sees it"
        assert page.evaluate(WRITES) == ["Ada", 403, 400, 204, 401]
        page.goto(f"{url}/sign-in?next=https://evil.example/#{word}", wait_until="commit")
        page.wait_for_url(f"{url}/")
        assert not refused
