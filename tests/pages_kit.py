"""A monitor with captured phantom photographs, a segmenter that answers clicks, and a Chromium that looks at them."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import monitor_kit
import pytest
import serving_kit
import uvicorn
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings

from parfocal.phantoms.photograph import Phantom, case, encode_png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NEW = "B"
TRIGGER = {"minimum_cases": 8, "minimum_test": 4}


def browser_path() -> str:
    """The system's Chromium; the test is skipped where it is not."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("Chromium is not installed: `make system` installs it (Debian: chromium)")
    return found


@contextmanager
def chromium() -> Iterator["Browser"]:
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=1000 * serving_kit.READY
        )
        yield browser
        browser.close()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application from a thread; its address."""
    port = serving_kit.free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    serving_kit.wait_for(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def phantom(number: int) -> Phantom:
    return case(NEW, 40_000 + number, 0)


def name(number: int) -> str:
    return f"{number:032x}"


def capture(state: Path, number: int) -> str:
    """Keep a phantom's photograph as the segmenter does; its `case_ref`."""
    place = f"captured/fundus/2026-11-21/{name(number)}.png"
    (state / place).parent.mkdir(parents=True, exist_ok=True)
    (state / place).write_bytes(encode_png(phantom(number).image))
    return place


@contextmanager
def monitor(state: Path, photographs: int = 6, segmenter: str = "", **settings: Any) -> Iterator[SimpleNamespace]:
    """A monitor that has seen so many photographs of a new camera, open to this machine unless a token is set."""
    reference = monitor_kit.promote(state)
    values = {
        "state": state, "token": "", "open": not settings.get("token"), "database_url": "", "trigger": TRIGGER,
        "segmenter_url": segmenter or "http://127.0.0.1:9", **settings,
    }  # fmt: skip
    from parfocal_serving.monitor.service import Service

    chosen = MonitorSettings(**values)
    service = Service(chosen)
    with serving(build(chosen, service)) as url:
        found = [
            monitor_kit.observation(
                number, NEW, at=300.0, reference=reference, id=name(number), case_ref=capture(state, number),
                patient_hmac=f"{number:064x}",
            )
            for number in range(1, photographs + 1)
        ]  # fmt: skip
        received = service.receive(monitor_kit.wire(found)["observations"])
        assert received.accepted == photographs, received
        yield SimpleNamespace(url=url, state=state, service=service)


@contextmanager
def segmenter(folder: Path) -> Iterator[str]:
    """The segmenter's routes with a champion and a model that answers clicks."""
    from parfocal_serving.segmenter import web
    from parfocal_serving.segmenter.running import Running
    from parfocal_serving.segmenter.settings import SegmenterSettings
    from parfocal_serving.segmenter.worker import Worker

    serving_kit.promote(folder / "state", serving_kit.bundle(folder / "champion"), "1")
    clicks = str(serving_kit.clickable(folder / "clicks"))
    settings = SegmenterSettings(
        state=folder / "state", clicks_model=clicks, threads=1, token="", open=True, patient_secret="x"
    )
    worker = Running.worker = Worker(settings)
    worker.start()
    try:
        assert worker.clicks.current is not None, worker.clicks.trouble
        with serving(web.app) as url:
            yield url
    finally:
        worker.stop()


class Visitor:
    """A person at a browser of their own: what they do on the page, and everything the browser complained about."""

    def __init__(self, context: "BrowserContext", url: str, who: str = "Ada") -> None:
        self.context, self.url, self.who = context, url, who
        self.complaints: list[str] = []
        self.opened_cases: list[tuple[str, str]] = []
        """Id and lease of each case, as its picture was asked for."""
        context.set_default_timeout(1000 * serving_kit.PATIENCE)
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if request.url.endswith("/image"):
            self.opened_cases.append((request.url.split("/")[-2], request.headers["x-lease"]))

    @property
    def case(self) -> str:
        """The one that was opened last."""
        return self.opened_cases[-1][0]

    def come(self) -> "Visitor":
        """Open the page and say who one is."""
        self.page.goto(f"{self.url}/annotate")
        self.page.get_by_label("Your name").fill(self.who)
        self.page.get_by_role("button", name="Begin").click()
        self.page.locator("#next:enabled").wait_for()
        return self

    def next(self) -> str:
        """Take the next case; its banner."""
        self.page.keyboard.press("n")
        return self.opened()

    def opened(self) -> str:
        self.page.locator("#work").wait_for()
        self.page.locator("body:not([aria-busy]) #stage:not([aria-busy])").wait_for()
        return self.text("#purpose")

    def text(self, selector: str) -> str:
        return (self.page.text_content(selector) or "").strip()

    def areas(self) -> dict[str, int]:
        """Pixels by structure, as the page says them."""
        words = self.text("#numbers").split(". ")[0].replace(" px", "").split(", ")
        return {part.split(" ")[0]: int(part.split(" ")[1].replace(",", "")) for part in words}

    def says(self, what: str) -> None:
        """Wait until the page's status line says so."""
        self.page.locator("#said", has_text=what).wait_for()

    def done(self, what: str) -> None:
        """Wait until the page says so of the last case."""
        self.page.locator("#done", has_text=what).wait_for()

    def at(self, row: float, column: float) -> tuple[float, float]:
        """Where a pixel of the 384 x 384 phantom is on the screen, as long as it was fitted."""
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        scale = 0.98 * min(box["width"], box["height"]) / 384
        left, top = box["x"] + (box["width"] - 384 * scale) / 2, box["y"] + (box["height"] - 384 * scale) / 2
        return left + (column + 0.5) * scale, top + (row + 0.5) * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From (row, column) to (row, column)."""
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        mouse.down()
        mouse.move(*self.at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        mouse.move(*self.at(*end))
        mouse.up()

    def ellipse(self, start: tuple[float, float], end: tuple[float, float], structure: int = 1) -> None:
        self.page.keyboard.press(str(structure))
        self.page.keyboard.press("l")
        self.drag(start, end)

    def picture(self, file: str, folder: Path) -> None:
        """A screenshot: into PARFOCAL_ARTIFACTS where CI keeps them, else into the test's folder."""
        place = Path(os.environ.get("PARFOCAL_ARTIFACTS", folder))
        place.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=place / file)


def labels(state: Path) -> dict[str, dict[str, str]]:
    """Rows of the labelled cases of the new camera, by name."""
    import csv

    file = state / "labelled" / "fundus" / NEW / "cases.csv"
    if not file.is_file():
        return {}
    with file.open(newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}
