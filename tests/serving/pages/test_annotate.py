"""The annotation page in a real browser, before a real monitor and a real segmenter."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pages_kit as kit
import pytest
from monitor_kit import eventually, instrument
from pages_kit import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRAIN, HAND = "Training case", "drawn by hand, without the model"
DISC, CUP = ((150, 150), (230, 230)), ((175, 175), (205, 205))


def labelled(world: SimpleNamespace) -> int:
    return int(instrument(world.service.view.read(), kit.NEW)["labelled"])


def test_a_case_is_clicked_corrected_and_accepted_and_the_counters_move(
    visit: Callable[..., Visitor], world: SimpleNamespace, tmp_path: Path
) -> None:
    ada = visit().come()
    assert TRAIN in ada.next()
    assert ada.text("#why")
    ada.says("The model’s proposal")
    assert min(ada.areas().values()) > 0, "the champion's masks are shown first"
    before = ada.areas()
    ada.page.mouse.click(*ada.at(190, 190))
    ada.says("The model answered about the disc in")
    ada.page.mouse.click(*ada.at(60, 190), button="right")
    ada.page.locator("#numbers", has_text="2 clicks").wait_for()
    ada.says("The model answered about the disc in")
    assert ada.areas()["disc"] != before["disc"]
    answered = ada.areas()["disc"]
    ada.page.keyboard.press("e")
    ada.drag((180, 180), (200, 200))
    assert ada.areas()["disc"] < answered, "the last pixels by hand"
    assert "assisted: a model’s mask was shown" in ada.text("#numbers")
    ada.picture("annotate-training.png", tmp_path)
    ada.page.keyboard.press("a")
    question = ada.page.get_by_role("button", name="Accept", exact=True)  # random networks: the cup leaves the disc
    if question.is_visible():
        question.click()
    ada.done("Accepted: 1 labelled, 7 more")
    assert "1 of 8 labelled" in ada.text("#progress")
    eventually(lambda: labelled(world) == 1)
    [row] = kit.labels(world.state).values()
    assert (row["grader"], row["assisted"]) == ("Ada", "yes")


def test_a_test_case_is_drawn_by_hand_and_the_model_is_refused_to_it(
    visit: Callable[..., Visitor], world: SimpleNamespace, tmp_path: Path
) -> None:
    ada = visit()
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    ada.come()
    by_hand(ada)
    assert not [url for url in asked if ada.case in url and url.endswith(("proposal", "refine"))]
    for hidden in ("#proposal", "[data-tool=click]"):
        assert ada.page.locator(hidden).is_hidden()
    ada.page.keyboard.press("c")
    ada.says("drawn by hand")
    assert set(ada.areas().values()) == {0}
    assert (status(ada, "proposal"), status(ada, "refine", CLICKED)) == (403, 403)
    ada.complaints = [text for text in ada.complaints if "403" not in text]  # the browser notes what was refused
    ada.ellipse(*DISC)
    ada.ellipse(*CUP, structure=2)
    assert ada.areas()["disc"] == pytest.approx(3.1416 / 4 * 80 * 80, rel=0.05)
    ada.picture("annotate-by-hand.png", tmp_path)
    before = len(kit.labels(world.state))
    ada.page.keyboard.press("a")
    eventually(lambda: len(kit.labels(world.state)) == before + 1)
    assert {row["assisted"] for row in kit.labels(world.state).values()} == {""}


CLICKED = {"structure": "disc", "clicks": [{"row": 1, "column": 1, "object": True}], "previous": None, "outer": None}
CALL = """async ([url, lease, body]) => (await fetch(url, {
  headers: {"X-Lease": lease, "Content-Type": "application/json"},
  method: body ? "POST" : "GET", body: body ? JSON.stringify(body) : undefined})).status"""


def status(ada: Visitor, what: str, body: Any = None) -> int:
    """What the monitor answers to a call about the open case that the page itself would not make."""
    case, lease = ada.opened_cases[-1]
    return int(ada.page.evaluate(CALL, [f"api/annotate/cases/{case}/{what}", lease, body]))


def by_hand(ada: Visitor) -> None:
    """Draw training cases without the model until one comes that has to be."""
    ada.page.locator("#proposal-first").evaluate("one => { one.checked = false }")
    for _ in range(4):
        if HAND in (ada.text("#purpose") if ada.page.locator("#work").is_visible() else ada.next()):
            return
        ada.ellipse(*DISC)
        ada.ellipse(*CUP, structure=2)
        accept(ada)
    raise AssertionError("no case was drawn by hand")


def accept(ada: Visitor) -> None:
    with ada.page.expect_response("**/accept"):
        ada.page.keyboard.press("a")
    ada.page.locator("body:not([aria-busy])").wait_for()


def test_unsaved_work_survives_a_reload_and_another_browser(visit: Callable[..., Visitor]) -> None:
    ada = visit().come()
    kept: list[dict[str, Any]] = []
    ada.page.on("requestfinished", lambda one: one.url.endswith("/draft") and kept.append(one.post_data_json))

    def all_is_kept() -> bool:  # whichever of several drafts was sent with the model's answer in it
        disc = kept[-1]["structures"]["disc"] if ada.page.evaluate("1") and kept else {}
        return len(disc.get("clicks", ())) == 1 and not disc["pending"]

    ada.next()
    ada.page.keyboard.press("b")
    ada.drag((100, 100), (100, 160))
    ada.page.keyboard.press("c")
    ada.page.mouse.click(*ada.at(190, 190))
    ada.says("The model answered about the disc")
    drawn, why = ada.areas(), ada.text("#why")
    eventually(all_is_kept)
    ada.page.reload()
    ada.opened()
    ada.page.locator("#kept", has_text="Your draft was found").wait_for()
    assert (ada.areas(), ada.text("#why")) == (drawn, why)
    assert "1 click." in ada.text("#numbers")
    assert "assisted" in ada.text("#numbers")
    elsewhere = visit("Ada").come()  # the same person, whose browser knows nothing: from the monitor's draft
    assert "Go on with your case" in elsewhere.text("#next")
    elsewhere.next()
    assert elsewhere.areas() == drawn
    ada.page.keyboard.press("h")
    ada.page.keyboard.press("b")
    ada.drag((300, 100), (300, 160))
    ada.page.locator("#trouble").wait_for()  # the lease is in the other browser's hands, and nothing is lost
    mine = ada.areas()
    assert mine != drawn
    told = ada.text("#trouble-text")
    assert told == "you have opened this case elsewhere. Next: go on there, or take it back here."
    assert "elsewhere" not in ada.text("#kept"), "it is said once"
    ada.page.get_by_role("button", name="Take it back here").click()
    ada.opened()
    ada.page.locator("#kept", has_text="Your draft was found").wait_for()
    assert ada.areas() == mine, "the newer drawing"
    assert ada.page.locator("#trouble").is_hidden()
    ada.complaints = [text for text in ada.complaints if "423" not in text]


def test_who_comes_after_another_at_one_browser_sees_nothing_of_their_drawing(visit: Callable[..., Visitor]) -> None:
    """The monitor keeps drafts apart by person; the browser's own copy was shown to whoever had the case next."""
    ada = visit().come()
    ada.next()
    ada.page.keyboard.press("b")
    ada.drag((100, 100), (100, 160))
    ada.page.keyboard.press("q")
    ada.page.locator("#idle").wait_for()
    ada.page.locator("#rename").click()
    ada.page.get_by_label("Your name").fill("Bob")
    ada.page.keyboard.press("Enter")
    ada.page.locator("#rename", has_text="Bob").wait_for()
    ada.next()
    assert len({case for case, _ in ada.opened_cases}) == 1, "Bob has Ada's case"
    assert "draft" not in ada.text("#kept")


def test_a_photograph_that_no_browser_shows_does_not_come_for_ever(
    visit: Callable[..., Visitor], world: SimpleNamespace
) -> None:
    ada = visit().come()
    ada.page.route("**/image", lambda route: route.fulfill(body=b"no picture", content_type="image/png"), times=1)
    ada.page.keyboard.press("n")
    ada.page.locator("#trouble-text", has_text="cannot be shown").wait_for()
    ada.page.locator("body:not([aria-busy])").wait_for()
    ada.next()
    assert len({case for case, _ in ada.opened_cases}) == 2


def test_two_people_never_get_one_case_and_a_skipped_one_comes_back(visit: Callable[..., Visitor]) -> None:
    ada, bob = visit("Ada").come(), visit("Bob").come()
    ada.next()
    bob.next()
    assert ada.case != bob.case
    first = ada.case
    ada.page.keyboard.press("s")
    ada.page.get_by_role("dialog").get_by_role("button", name="Skip").click()
    ada.opened()
    assert ada.case not in (first, bob.case)
    bob.page.keyboard.press("u")
    bob.page.get_by_label("What is wrong with the picture").fill("a blink")
    bob.page.keyboard.press("Enter")
    bob.opened()
    assert len({case for case, _ in (*ada.opened_cases, *bob.opened_cases)}) >= 3
    bob.page.keyboard.press("q")
    bob.page.locator("#idle").wait_for()
    assert "Put back" in bob.text("#idle-title")


def test_everything_can_be_done_without_a_mouse(visit: Callable[..., Visitor], world: SimpleNamespace) -> None:
    ada = visit().come()
    ada.next()
    ada.page.keyboard.press("z")  # the proposal away: undo reaches it
    assert set(ada.areas().values()) == {0}
    press(ada, "ArrowUp", "Enter")
    ada.says("The model answered about the disc")
    press(ada, "ArrowUp", "ArrowUp", "ArrowUp", "Backspace")
    ada.page.locator("#numbers", has_text="2 clicks").wait_for()
    ada.says("The model answered about the disc")
    press(ada, "w")
    ada.says("Row ")
    press(ada, "z", "z", "l", "Enter", *["ArrowRight"] * 6, *["ArrowDown"] * 5, "Enter")
    assert ada.areas()["disc"] == pytest.approx(3.1416 / 4 * 60 * 50, rel=0.08)
    press(ada, "2", "g", "Enter", *["ArrowLeft"] * 2, "Enter", *["ArrowUp"] * 2, "Enter", "f")
    assert ada.areas()["cup"] == pytest.approx(200, abs=25)
    press(ada, "b", *["["] * 4, "Enter", "ArrowLeft", "Enter")
    assert ada.areas()["cup"] > 225
    press(ada, "Shift+ArrowLeft", "o", "h", "h", "+", "-", "0", ".", ">", "x", "x", "]")
    press(ada, "?")
    assert ada.page.get_by_role("dialog", name="Keys and pointers").is_visible()
    press(ada, "Escape")
    press(ada, "a")
    dialog = ada.page.get_by_role("dialog", name="Accept it like this?")
    if dialog.is_visible():
        press(ada, "Enter")
    ada.done("Accepted: 1")
    assert len(kit.labels(world.state)) == 1


def press(ada: Visitor, *keys: str) -> None:
    for key in keys:
        ada.page.keyboard.press(key)


def test_undo_and_redo_go_through_clicks_strokes_and_shapes_alike(visit: Callable[..., Visitor]) -> None:
    ada = visit().come()
    ada.next()
    seen = [ada.areas()]
    ada.page.mouse.click(*ada.at(190, 190))
    ada.says("The model answered")
    seen.append(ada.areas())
    ada.page.keyboard.press("b")
    ada.drag((20, 20), (20, 90))
    seen.append(ada.areas())
    ada.ellipse((250, 250), (300, 320), structure=2)
    seen.append(ada.areas())
    assert len({str(areas) for areas in seen}) == 4
    for expected in seen[-2::-1]:
        ada.page.keyboard.press("Control+z")
        assert ada.areas() == expected
    assert "0 clicks" in ada.text("#numbers")
    assert "assisted" in ada.text("#numbers"), "what was seen was seen"
    for expected in seen[1:]:
        ada.page.keyboard.press("Control+Shift+z")
        assert ada.areas() == expected


def test_a_late_answer_never_overwrites_a_newer_one(visit: Callable[..., Visitor]) -> None:
    ada = visit().come()
    ada.next()
    held: list[Any] = []
    bodies: list[dict[str, Any]] = []

    def answer(route: Any) -> None:
        body = route.request.post_data_json
        bodies.append(body)
        if len(body["clicks"]) == 1:
            held.append(route)  # the first call is slow
        else:
            route.fulfill(json={"rle": {"size": [384, 384], "counts": [384 * 384 - 20, 20]}, "ms": 5, "model": {}})

    ada.page.route("**/refine", answer)
    ada.page.mouse.click(*ada.at(190, 190))
    eventually(lambda: ada.page.evaluate("1") and held)
    ada.page.mouse.click(*ada.at(190, 230))
    ada.page.locator("#numbers", has_text="disc 20 px").wait_for()
    try:
        held[0].fulfill(json={"rle": {"size": [384, 384], "counts": [0, 384 * 384]}, "ms": 900, "model": {}})
    except Exception as error:
        assert "Error" in type(error).__name__
    ada.page.wait_for_timeout(200)
    assert ada.areas()["disc"] == 20
    assert [len(body["clicks"]) for body in bodies] == [1, 2]
    assert bodies[0]["previous"] == bodies[1]["previous"], "nothing was drawn by the one that was superseded"


def test_a_failed_answer_says_why_keeps_the_click_and_can_be_tried_again(visit: Callable[..., Visitor]) -> None:
    ada = visit().come()
    ada.next()
    before = ada.areas()
    problem = {"what": "the segmenter is away", "where": "", "expected": "", "next": "start it"}
    ada.page.route("**/refine", lambda route: route.fulfill(status=503, json={"error": problem}))
    ada.page.mouse.click(*ada.at(190, 190))
    ada.page.get_by_role("alert").filter(has_text="the segmenter is away. Next: start it.").wait_for()
    assert ada.areas() == before
    assert "1 click." in ada.text("#numbers")
    ada.page.unroute("**/refine")
    ada.page.get_by_role("button", name="Try again").click()
    ada.says("The model answered about the disc")
    assert ada.page.locator("#trouble").is_hidden()
    ada.page.route("**/accept", lambda route: route.abort())
    drawn = ada.areas()
    ada.page.keyboard.press("a")
    dialog = ada.page.get_by_role("dialog", name="Accept it like this?")
    if dialog.is_visible():
        ada.page.keyboard.press("Enter")
    ada.page.get_by_role("alert").filter(has_text="the monitor does not answer").wait_for()
    assert ada.areas()["disc"] == drawn["disc"]
    ada.complaints = [text for text in ada.complaints if "503" not in text and "ERR_FAILED" not in text]


def test_without_a_segmenter_cases_are_drawn_by_hand(browser: "Browser", tmp_path: Path) -> None:
    with kit.monitor(tmp_path / "state", photographs=2) as alone:
        ada = Visitor(browser.new_context(viewport={"width": 1280, "height": 800}), alone.url).come()
        ada.next()
        ada.page.get_by_role("alert").filter(has_text="segmenter").wait_for()
        ada.ellipse(*DISC)
        ada.ellipse(*CUP, structure=2)
        accept(ada)
        ada.done("Accepted: 1")
        [row] = kit.labels(alone.state).values()
        assert not row["assisted"], "no mask was shown"
        ada.context.close()


def test_a_slow_proposal_keeps_nobody_from_drawing_and_overwrites_nothing(
    visit: Callable[..., Visitor], world: SimpleNamespace
) -> None:
    ada = visit().come()
    held: list[Any] = []
    ada.page.route("**/proposal", lambda route: held.append(route))  # noqa: PLW0108 - it wants a function of ours
    ada.page.keyboard.press("n")
    ada.page.locator("#stage[aria-busy]").wait_for()
    eventually(lambda: ada.page.evaluate("1") and held)
    ada.ellipse(*DISC)
    drawn = ada.areas()
    assert drawn["disc"]
    held[0].continue_()
    ada.says("You have begun")
    assert ada.areas() == drawn
    ada.page.unroute("**/proposal")
    ada.page.keyboard.press("p")
    ada.says("The model’s proposal")
    assert ada.areas() != drawn
    ada.page.keyboard.press("z")
    assert ada.areas() == drawn
