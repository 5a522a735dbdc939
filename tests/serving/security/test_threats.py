"""The threat model: every line has what holds it, and a test that is there."""

import re
from pathlib import Path

from promises_kit import DOCS, missing, named

PAGE = DOCS / "security.md"
LINE = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<held>[^|]+) \| (?P<tests>[^|]+) \|$")


def lines() -> list[re.Match[str]]:
    table = PAGE.read_text().split("## Threat model")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    found = [LINE.match(row) for row in rows[2:]]
    assert all(found), "a row of the table is not threat, what holds it, test"
    return [row for row in found if row]


def test_every_threat_has_a_test_that_is_there() -> None:
    rows = lines()
    assert len(rows) > 25
    for row in rows:
        assert any(test for _, test in named(row["tests"])), f"no test holds: {row['threat']}"
        assert missing(row["tests"]) == []


def test_every_test_of_security_is_named_by_a_threat_or_is_of_a_part() -> None:
    """A file of tests that no threat names would be about nothing."""
    text = PAGE.read_text()
    here = {f"serving/security/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} - {
        "serving/security/test_threats.py"
    }
    assert not {file for file in here if file not in text}
