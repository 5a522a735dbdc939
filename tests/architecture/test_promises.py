"""Every sentence that promises something names its test, and that test is there."""

import ast
import re
from pathlib import Path

import pytest
from promises_kit import DOCS, TESTS, missing, named

PAGES = ("promises", "gate", "monitor", "drift", "contracts", "security", "annotate")
SECTIONS = (
    "Data", "Retrain", "Gate", "Promotion", "Drift", "Unknown instrument", "Trigger", "Labels", "Seams",
)  # fmt: skip
ROW = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<held>[^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    assert missing((DOCS / f"{page}.md").read_text()) == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    here = "architecture/test_promises.py"
    text = f"`{here}::test_nothing`, `::test_a_test_that_is_not_there_is_noticed`, `tests/nowhere/`, `core/types.py`"
    assert missing(text) == [f"{here}::test_nothing", "nowhere/"]
    assert missing(f"`tests/{here}` and `test_nowhere.py`, `tests/architecture/test_pro*.py`") == [
        "architecture/test_nowhere.py"
    ]


def test_every_promise_of_the_loop_has_a_test_by_name() -> None:
    parts = (DOCS / "promises.md").read_text().split("\n## ")
    titles = [part.splitlines()[0] for part in parts[1:]]
    assert [title for title in titles if title in SECTIONS] == list(SECTIONS)
    for part in parts[1:]:
        rows = [(row["promise"], row["held"]) for row in ROW.finditer(part)][2:]
        assert rows or part.splitlines()[0] not in SECTIONS
        without = [promise for promise, held in rows if not any(test for _, test in named(held))]
        assert without == [], "a file alone says too little"


def test_every_decision_that_a_promise_leans_on_is_there() -> None:
    links = re.findall(r"\]\((adr/[\w.-]+)\)", (DOCS / "promises.md").read_text())
    assert len(links) >= 5
    assert [link for link in links if not (DOCS / link).is_file()] == []


def test_workers_hold_no_drift_state() -> None:
    """A segmenter may read a reference, to say what it expects; what runs on from case to case is the monitor's."""
    folder = TESTS.parent / "serving" / "segmenter"
    found = {name for file in folder.rglob("*.py") for name in _imports(file) if name.startswith("parfocal.drift")}
    assert found <= {"parfocal.drift", "parfocal.drift.reference", "parfocal.drift.quality"}
    assert "parfocal.drift.cusum" in _imports(folder.parent / "monitor" / "detectors.py")


def _imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names if one.name.islower())}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
    return names
