"""Each promise of docs/gate.md names the test that would fail if it were untrue, and that test is there."""

import re
from pathlib import Path

from parfocal.promotion.policy import GatePolicy
from parfocal.promotion.summary import UNIT

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "gate.md").read_text()


def test_every_promise_names_a_test_that_is_there() -> None:
    named = re.findall(r"^\| .+ \| `(tests/[\w/]+\.py)::(\w+)` \|$", PAGE, re.MULTILINE)
    assert len(named) >= 40
    missing = [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []


def test_the_page_names_every_condition_and_the_numbers_of_the_policy() -> None:
    assert all(f"`{name}`" in PAGE for name in UNIT)
    policy = GatePolicy()
    assert f"above -{policy.margin:g} |" in PAGE
    assert f"within {policy.creep:g} of the best" in PAGE
    assert f"{policy.min_patients} test patients or more" in PAGE
