"""Whom the page lets in and how: fingers, the keyboard's focus, readers of names, a dark room, a token."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pages_kit as kit
import pytest
from pages_kit import Visitor

from parfocal.adapters.tokens import TokenStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SMALL = """() => [...document.querySelectorAll("button, select, a.button, label.tab, label.check, summary")]
  .filter((one) => one.checkVisibility()).map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 43.9)
  .map(([text, box]) => `${text} ${box.width} x ${box.height}`)"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, a, [tabindex='0']")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.getAttribute("aria-label") || one.labels?.[0]?.textContent.trim() || one.textContent.trim()))
  .map((one) => one.outerHTML)"""
FAINT = """() => {
  const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const read = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = read(getComputedStyle(one).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const own = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll("body *")].filter((one) => own(one) && one.checkVisibility() && !one.disabled
    && !one.closest(":disabled, .hidden, option, script, noscript")).map((one) => {
    const [a, b] = [light(read(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.textContent.trim().slice(0, 30)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with kit.chromium() as made:
        yield made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    with kit.monitor(tmp_path_factory.mktemp("monitor") / "state", photographs=8) as made:
        yield made


def visitor(browser: "Browser", url: str, who: str, **context: Any) -> Visitor:
    return Visitor(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context}), url, who)


def opened(browser: "Browser", world: SimpleNamespace, who: str, **context: Any) -> Visitor:
    """With a case on the desk, of which there is no proposal: nothing segments here."""
    made = visitor(browser, world.url, who, **context).come()
    made.page.locator("#proposal-first").evaluate("one => { one.checked = false }")
    made.next()
    return made


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_and_everything_has_a_name_and_room_for_a_finger(
    browser: "Browser", world: SimpleNamespace, theme: str, tmp_path: Path
) -> None:
    ada = visitor(browser, world.url, f"Ada {theme}", color_scheme="light" if theme == "dark" else "dark").come()
    assert ada.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 23)", (
        "dark unless chosen"
    )
    ada.page.select_option("#theme", theme)
    look = (FAINT, NAMELESS, SMALL)
    assert [ada.page.evaluate(one) for one in look] == [[], [], []]
    ada.page.locator("#proposal-first").evaluate("one => { one.checked = false }")
    ada.next()
    assert [ada.page.evaluate(one) for one in look] == [[], [], []]
    ada.page.keyboard.press("?")
    assert [ada.page.evaluate(one) for one in look] == [[], [], []]
    ada.page.keyboard.press("Escape")
    ada.picture(f"annotate-{theme}.png", tmp_path)
    ada.page.reload()
    assert ada.page.evaluate("document.documentElement.dataset.theme") == theme, "remembered"
    ada.opened()
    ada.context.close()


def test_the_focus_goes_from_the_bar_to_the_tools_the_picture_and_the_panel(
    browser: "Browser", world: SimpleNamespace
) -> None:
    ada = opened(browser, world, "Tab")
    assert ada.page.evaluate("document.activeElement.id") == "stage", "a new case is ready for the keyboard"
    ada.page.locator(".jump").focus()
    order = []
    for _ in range(40):
        ada.page.keyboard.press("Tab")
        order.append(ada.page.evaluate("document.activeElement.id || document.activeElement.dataset.tool || ''"))
    places = [order.index(one) for one in ("instrument", "theme", "help", "brush", "fit", "stage", "accept", "skip")]
    assert places == sorted(places)
    ada.page.locator("#brightness").focus()
    ada.page.keyboard.press("ArrowRight")
    assert ada.page.evaluate("document.getElementById('brightness').value") == "1.05", "a slider's arrows are its own"
    ada.page.locator("#letters").evaluate("one => { one.checked = false }")
    ada.page.keyboard.press("e")
    assert ada.page.get_attribute("[data-tool=erase]", "aria-pressed") == "false", "single keys are off"
    ada.context.close()


def test_one_finger_draws_and_two_zoom_without_a_trace(
    browser: "Browser", world: SimpleNamespace, tmp_path: Path
) -> None:
    ada = opened(browser, world, "Tab Let", viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True)
    ada.page.locator("[data-tool=brush]").tap()
    touch = ada.context.new_cdp_session(ada.page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    (x, y), (dx, _) = ada.at(150, 150), ada.at(150, 200)
    fingers("touchStart", (x, y))
    fingers("touchMove", (dx, y))
    fingers("touchEnd")
    drawn = ada.areas()["disc"]
    assert drawn == pytest.approx(2 * 8 * 50 + 3.14 * 64, rel=0.1)
    ada.picture("annotate-tablet.png", tmp_path)
    before = ada.page.locator("#stage canvas").nth(1).screenshot()
    fingers("touchStart", (x, y + 60))
    fingers("touchStart", (x, y + 60), (x + 60, y + 60))
    fingers("touchMove", (x - 40, y + 60), (x + 100, y + 60))
    fingers("touchEnd")
    ada.page.keyboard.press("z")
    ada.page.keyboard.press("y")
    assert ada.areas()["disc"] == drawn, "fingers that zoom leave nothing behind"
    assert ada.page.locator("#stage canvas").nth(1).screenshot() != before
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of a tablet"
    assert not ada.complaints
    ada.context.close()


def test_the_wheel_zooms_about_the_pointer_and_a_drag_with_space_moves(
    browser: "Browser", world: SimpleNamespace
) -> None:
    ada = opened(browser, world, "Wheel")
    place = ada.at(100, 100)
    ada.page.mouse.move(*place)
    ada.page.mouse.wheel(0, -600)
    ada.page.keyboard.down(" ")
    ada.page.mouse.down()
    ada.page.mouse.move(place[0] + 80, place[1] + 30)
    ada.page.mouse.up()
    ada.page.keyboard.up(" ")
    assert set(ada.areas().values()) == {0}
    ada.page.keyboard.press("g")
    for dx, dy in ((80, 30), (140, 30), (140, 90), (80, 30)):  # the first corner is where (100, 100) went
        ada.page.mouse.click(place[0] + dx, place[1] + dy)
    zoom = 2.459603  # exp(600 * .0015)
    side = 60 / (zoom * (ada.at(0, 1)[0] - ada.at(0, 0)[0]))
    assert ada.areas()["disc"] == pytest.approx(side * side / 2, rel=0.2)
    ada.context.close()


def test_who_is_not_signed_in_comes_back_after_the_sign_in_page(browser: "Browser", tmp_path: Path) -> None:
    with kit.monitor(tmp_path / "state", photographs=2, token="installation-token") as guarded:
        _, word = TokenStore(guarded.state / "tokens.json").add("Grace", ["annotate"])
        grace = visitor(browser, guarded.url, "")
        grace.page.goto(f"{guarded.url}/annotate")
        grace.page.wait_for_url("**/sign-in?next=*")
        grace.page.goto(f"{grace.page.url}#{word}")
        grace.page.reload(wait_until="commit")  # signed in, it may leave before all of it is loaded
        grace.page.wait_for_url("**/annotate")
        grace.page.locator("#next:enabled").wait_for()
        assert grace.text("#who") == "Grace"
        grace.page.locator("#proposal-first").evaluate("one => { one.checked = false }")
        grace.next()
        grace.ellipse((150, 150), (230, 230))
        grace.page.context.clear_cookies()
        with grace.page.expect_navigation(url="**/sign-in?next=*"):
            grace.ellipse((170, 170), (210, 210), structure=2)
        grace.page.goto(f"{grace.page.url}#{word}")
        grace.page.reload(wait_until="commit")  # signed in, it may leave before all of it is loaded
        grace.page.wait_for_url("**/annotate")
        grace.opened()
        assert grace.areas()["cup"] > 1000, "the session ended and the drawing did not"
        grace.page.keyboard.press("a")
        grace.done("Accepted: 1")
        assert [row["grader"] for row in kit.labels(guarded.state).values()] == ["Grace"]
        grace.context.close()
