"""The threat model: every line has what holds it, and a test that is there."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "security.md"
LINE = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<held>[^|]+) \| (?P<tests>[^|]+) \|$")


def lines() -> list[re.Match[str]]:
    table = PAGE.read_text().split("## Threat model")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    found = [LINE.match(row) for row in rows[2:]]
    assert all(found), "a row of the table is not threat, what holds it, test"
    return [row for row in found if row]


@cache
def names(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_threat_has_a_test_that_is_there() -> None:
    rows = lines()
    assert len(rows) > 25
    missing = []
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row["tests"])
        assert named, f"no test holds: {row['threat']}"
        missing += [
            f"{file}::{name}" for file, name in named if not (TESTS / file).is_file() or name not in names(TESTS / file)
        ]
    assert not missing


def test_every_test_of_security_is_named_by_a_threat_or_is_of_a_part() -> None:
    """A file of tests that no threat names would be about nothing."""
    text = PAGE.read_text()
    here = {f"serving/security/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} - {
        "serving/security/test_threats.py"
    }
    assert not {file for file in here if file not in text}
