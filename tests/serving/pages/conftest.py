"""What the tests of the annotation page share: a browser, a segmenter, a monitor, and people who visit it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pages_kit as kit
import pytest
from pages_kit import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with kit.chromium() as made:
        yield made


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kit.segmenter(tmp_path_factory.mktemp("segmenter")) as url:
        yield url


@pytest.fixture
def world(tmp_path: Path, segmenter: str) -> Iterator[SimpleNamespace]:
    with kit.monitor(tmp_path / "state", segmenter=segmenter) as made:
        yield made


@pytest.fixture
def visit(browser: "Browser", world: SimpleNamespace) -> Iterator[Callable[..., Visitor]]:
    """Visitors of the world. None may end with a complaint of the browser: no error, nothing against the CSP."""
    made: list[Visitor] = []

    def come(who: str = "Ada", **context: Any) -> Visitor:
        settings = {"viewport": {"width": 1280, "height": 800}, **context}
        made.append(Visitor(browser.new_context(**settings), world.url, who))
        return made[-1]

    yield come
    for visitor in made:
        visitor.context.close()
    assert not [text for visitor in made for text in visitor.complaints]
