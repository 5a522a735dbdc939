"""What a person has begun is neither lost nor handed in by accident, and the page says what became of it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pages_kit as kit
import pytest
from pages_kit import Visitor
from parfocal_serving.monitor import records
from parfocal_serving.monitor.annotate.desk import Holder
from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import connect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DISC, CUP = ((150, 150), (230, 230)), ((175, 175), (205, 205))
CORNERS = ((100, 100), (100, 160), (160, 160), (160, 100))
SQUARE = 3600


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Without a segmenter: everything is drawn."""
    with kit.monitor(tmp_path_factory.mktemp("monitor") / "state", photographs=12) as made:
        yield made


@pytest.fixture
def ada(browser: "Browser", world: SimpleNamespace) -> Iterator[Visitor]:
    """At a case on which nothing is drawn yet."""
    made = Visitor(browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="UTC"), world.url).come()
    made.page.locator("#proposal-first").evaluate("one => { one.click() }")
    made.next()
    yield made
    made.context.close()
    case, token = made.opened_cases[-1]
    with suppress(Refusal):  # it was put back
        world.service.annotation.give_back(Holder(case, token), "skip", "")
    assert not made.complaints


def press(ada: Visitor, *keys: str) -> None:
    for key in keys:
        ada.page.keyboard.press(key)


def corners(ada: Visitor, count: int) -> None:
    """Begin a polygon."""
    press(ada, "g")
    for corner in CORNERS[:count]:
        ada.page.mouse.click(*ada.at(*corner))


def handed_in(world: SimpleNamespace) -> int:
    """Close the experience with all labels so far; its number."""
    cases = CaseStore(world.state, "fundus")
    number = cases.next_number(kit.NEW)
    cases.close(kit.NEW, number)
    return number


def has(ada: Visitor, structure: str, pixels: int) -> None:
    assert ada.areas()[structure] == pytest.approx(pixels, rel=0.03)


def test_undo_takes_one_corner_of_an_open_polygon_and_redo_gives_it_back(ada: Visitor) -> None:
    """It threw the polygon away and took back the step before as well."""
    ada.ellipse(*DISC)
    drawn = ada.areas()
    corners(ada, 4)
    press(ada, "z")
    assert ada.areas() == drawn, "the step before stays"
    press(ada, "z", "y", "y", "f")
    assert ada.areas()["disc"] > drawn["disc"] + SQUARE - 300, "all four corners are back"
    press(ada, "z")
    assert ada.areas() == drawn
    corners(ada, 2)
    press(ada, "z", "z")
    assert ada.page.locator("#undo").is_enabled()
    press(ada, "z")
    assert ada.areas()["disc"] == 0
    assert ada.page.locator("#undo").is_disabled()
    ada.page.mouse.click(*ada.at(50, 50))
    assert ada.page.locator("#undo").is_enabled()


def test_another_tool_or_structure_closes_an_open_polygon_and_two_corners_are_said_to_be_lost(ada: Visitor) -> None:
    corners(ada, 4)
    press(ada, "b")
    has(ada, "disc", SQUARE)
    corners(ada, 3)
    press(ada, "2")
    has(ada, "disc", SQUARE)
    corners(ada, 4)
    press(ada, "1")
    has(ada, "cup", SQUARE)
    corners(ada, 2)
    press(ada, "f")
    ada.says("A polygon needs three corners")
    press(ada, "e")
    ada.says("it is gone")


def test_accepting_closes_the_polygon_asks_about_two_corners_and_about_specks(
    ada: Visitor, world: SimpleNamespace, tmp_path: Path
) -> None:
    before = len(kit.labels(world.state))
    corners(ada, 2)
    press(ada, "a")
    ada.says("Nothing is drawn yet")
    press(ada, "Escape")
    ada.ellipse(*DISC)
    ada.ellipse(*CUP, structure=2)
    corners(ada, 2)
    press(ada, "a")
    dialog = ada.page.get_by_role("dialog", name="Accept it like this?")
    dialog.get_by_text("needs three corners and has 2").wait_for()
    press(ada, "Escape")
    ada.page.mouse.click(*ada.at(*CORNERS[2]))  # they are still there
    press(ada, "1", "b")
    ada.drag((300, 300), (300, 301))
    cup = ada.areas()["cup"]
    press(ada, "a")
    dialog.get_by_text("The cup is in 2 separate pieces; 1 is the most to be expected.").wait_for()
    dialog.get_by_text("The disc is in 2 separate pieces").wait_for()
    ada.picture("annotate-accept-doubts.png", tmp_path)
    dialog.get_by_role("button", name="Keep the largest").click()
    ada.says("The small pieces are gone")
    assert ada.areas()["disc"] == pytest.approx(3.1416 / 4 * 80 * 80, rel=0.05)
    assert ada.areas()["cup"] < cup
    press(ada, "z")
    assert ada.areas()["cup"] == cup
    press(ada, "y", "2", "d")
    ada.ellipse(*CUP, structure=2)
    press(ada, "a")
    ada.done("more until a retrain may start.")
    assert len(kit.labels(world.state)) == before + 1


def test_an_open_polygon_survives_a_reload_and_being_put_back(ada: Visitor, tmp_path: Path) -> None:
    press(ada, "2")
    corners(ada, 4)
    ada.page.set_viewport_size({"width": 820, "height": 1180})
    ada.picture("annotate-polygon-tablet.png", tmp_path)
    ada.page.reload()
    ada.opened()
    ada.page.locator("#kept", has_text="Your draft was found").wait_for()
    press(ada, "q")
    ada.page.locator("#idle-title", has_text="Put back").wait_for()
    ada.page.locator("#next").wait_for()
    ada.next()
    press(ada, "f")
    has(ada, "cup", SQUARE)


def test_a_structure_is_cleared_and_comes_back_and_brief_words_go_with_the_next_change(ada: Visitor) -> None:
    press(ada, "z")
    ada.says("Nothing to undo.")
    ada.ellipse(*DISC)
    assert ada.text("#said") == ""
    drawn = ada.areas()
    ada.page.get_by_role("button", name="Clear this structure").click()
    ada.says("The disc is cleared")
    assert ada.areas()["disc"] == 0
    press(ada, "z")
    assert (ada.areas(), ada.text("#said")) == (drawn, "")
    press(ada, "?")
    keys = ada.page.locator("#keys tbody").text_content() or ""
    assert ("structure 2" in keys, "structure 3" in keys) == (True, False)
    press(ada, "Escape")
    press(ada, ".", ">")
    ada.page.reload()
    ada.opened()
    assert [ada.page.locator(f"#{name}").input_value() for name in ("brightness", "contrast")] == ["1.1", "1.1"]


def skip(ada: Visitor) -> None:
    press(ada, "s")
    with ada.page.expect_response("**/next"):
        ada.page.get_by_role("dialog").get_by_role("button", name="Skip").click()
    ada.opened()
    ada.done("Skipped: the case is back in the queue.")


def test_skipping_is_confirmed_and_what_the_last_case_lacked_goes_with_it(ada: Visitor, world: SimpleNamespace) -> None:
    if kit.labels(world.state):  # others may have filled the training side, and then no such case comes
        handed_in(world)
    for _ in range(24):  # of one that is drawn by hand nobody asks a model
        if "Training case" in ada.text("#purpose"):
            break
        skip(ada)
    assert "Training case" in ada.text("#purpose")
    press(ada, "p")
    ada.page.get_by_role("alert").filter(has_text="the segmenter does not help now. Next: draw by hand").wait_for()
    press(ada, "q")
    ada.page.locator("#idle-title", has_text="Put back").wait_for()
    assert ada.page.locator("#trouble").is_hidden()
    ada.next()
    skip(ada)
    ada.complaints = [text for text in ada.complaints if "503" not in text]


def test_nothing_is_empty_behind_the_first_question(browser: "Browser", world: SimpleNamespace) -> None:
    page = Visitor(browser.new_context(), world.url).page
    page.goto(f"{world.url}/annotate")
    page.get_by_label("Your name").wait_for()
    assert page.locator("#rename").is_hidden()
    assert page.locator("#instruments").is_hidden()
    page.context.close()


def test_the_bar_says_what_becomes_of_the_labels_that_were_handed_in(
    ada: Visitor, world: SimpleNamespace, tmp_path: Path
) -> None:
    ada.ellipse(*DISC)
    ada.ellipse(*CUP, structure=2)
    press(ada, "a")
    ada.done("Accepted: ")
    ada.opened()
    count = len(kit.labels(world.state))
    number = handed_in(world)
    database = connect(world.service.settings.monitor_database)
    run = records.RunRecord("k", "fundus", kit.NEW, number, "p", {}, 0.0, "succeeded", ended=9e9)
    handed = f"{count} label" + "s" * (count > 1)

    def says(what: str, **values: object) -> None:
        with database.write() as connection:
            records.change(connection, "k", **values)
        press(ada, "q")
        ada.page.locator("#idle").wait_for()
        ada.page.locator("#progress", has_text=f"{handed} handed in at 00:00 on 1 January; {what}").wait_for()

    with database.write() as connection:
        records.begin(connection, run)
    says("the gate is not sure (inconclusive): a person must decide", outcome="inconclusive")
    assert ada.page.get_by_role("link", name="The monitor’s page").is_visible()
    assert "For the next one: 0 of 8 labelled" in ada.text("#progress")
    ada.picture("annotate-idle-after.png", tmp_path)
    ada.next()
    says("the gate promoted the new model", outcome="promote")
    ada.next()
    says("the gate refused the new model", outcome="refuse")
    database.close()


def test_with_the_last_label_the_page_stops_and_says_so_though_more_photographs_wait(
    browser: "Browser", tmp_path: Path
) -> None:
    trigger = {"minimum_cases": 3, "minimum_test": 1, "dry_run": True}
    with kit.monitor(tmp_path / "state", photographs=8, trigger=trigger) as few:
        needed = few.service.settings.trigger.labels_needed
        made = Visitor(browser.new_context(viewport={"width": 1280, "height": 800}), few.url).come()
        made.page.locator("#proposal-first").evaluate("one => { one.click() }")
        made.next()
        for done in range(1, needed + 1):
            assert f"{done - 1} of {needed} labelled" in made.text("#progress"), (
                "the open case is not counted, nor wanted twice"
            )
            made.ellipse(*DISC)
            made.ellipse(*CUP, structure=2)
            press(made, "a")
            made.done(f"Accepted: {done} labelled")
            if done < needed:
                made.opened()
        made.page.locator("#idle-title", has_text="Enough for a retrain").wait_for()
        assert made.text("#progress").startswith(f"{kit.NEW}: {needed} of {needed} labelled")
        assert made.page.locator("#next").is_enabled(), "who wants to goes on for the next experience"
        made.context.close()
        assert not made.complaints
