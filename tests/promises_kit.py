"""Pages that name the test behind each sentence: which tests they name, and which of those are not there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
NAMED = re.compile(r"`(?P<place>(?:[\w*-]+/)*(?:[\w*-]+\.py)?)(?:::(?P<test>test_\w+))?`")


def named(text: str) -> Iterator[tuple[str, str]]:
    """(file below tests/, test) for every test that a page names in backticks; the test is empty where a file is meant.

    `tests/` may be left out where a test follows. `::test_b` alone is of the file before it, `test_b.py` of its folder.
    A folder ends with `/`, and a name may have `*`.
    """
    before = ""
    for match in NAMED.finditer(text):
        place, test = match["place"], match["test"] or ""
        file = place.rpartition("/")[2]
        if not place.startswith("tests/") and not (test or file.startswith("test_")):
            continue
        if not place:
            place = before
        elif place == file:
            place = f"{before.rpartition('/')[0]}/{file}"
        before = place.removeprefix("tests/")
        yield before, test


def missing(text: str) -> list[str]:
    """What a page names and is not there."""
    return [f"{place}::{test}" if test else place for place, test in named(text) if not _there(place, test)]


def _there(place: str, test: str) -> bool:
    files = [file for file in TESTS.glob(place.rstrip("/") or "*") if file.is_dir() or file.name.startswith("test_")]
    return any(not test or test in functions(file) for file in files)


@cache
def functions(file: Path) -> frozenset[str]:
    """Names of the functions of a file; a test with parameters has one."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds))
