"""docs/gate.md says what the policy says. That the tests it names are there: tests/architecture/test_promises.py."""

from pathlib import Path

from parfocal.promotion.policy import GatePolicy
from parfocal.promotion.summary import UNIT

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "gate.md").read_text()


def test_the_page_names_every_condition_and_the_numbers_of_the_policy() -> None:
    assert all(f"`{name}`" in PAGE for name in UNIT)
    policy = GatePolicy()
    assert f"above -{policy.margin:g} |" in PAGE
    assert f"within {policy.creep:g} of the best" in PAGE
    assert f"{policy.min_patients} test patients or more" in PAGE
