"""Disagreement under a flip moves the cases that have it, and no other by a hair."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parfocal.core.types import Observation
from parfocal.drift import flips, reference
from parfocal.drift.plausibility import MEASURES
from parfocal.drift.reference import DriftConfig, Reference, fit

CONFIG = DriftConfig(streams=("plausibility",), arl0=500)


def cases(count: int, seed: int, doubt: float | None = None) -> list[Observation]:
    """Cases whose mask differs from the mirror's by about so much."""
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    found = []
    for i in range(count):
        values = {f"disc.{name}": float(np.exp(0.1 * rng.normal())) for name in MEASURES}
        shape = {"disc.empty": 0.0, **values}
        if doubt is not None:
            shape["disc.flips"] = doubt * float(np.exp(0.3 * other.normal()))
        found.append(Observation(f"{seed}-{i}", "t", "A", "", "", 0, 0.0, (), shape, {}))
    return found


@pytest.fixture(scope="module")
def fitted() -> Reference:
    return fit({"A": cases(200, 1, 0.03)}, CONFIG, extractor="", seed=0)


def test_by_hand() -> None:
    """Of 19 reference cases 1..19 one is at or above 18.5: p = (1 + 1) / 20; doubled 0.2, over the stream's 0.5."""
    known = np.arange(1.0, 20.0)
    one, none = (replace(cases(1, 0)[0], shape=shape) for shape in ({"disc.flips": 18.5, "cup.flips": 3.0}, {}))
    assert flips.measured([one, none]) == pytest.approx([18.5, np.nan], nan_ok=True)
    assert flips.beside(np.array([0.5, 0.5]), [one, none], known) == pytest.approx([0.2, 0.5])
    assert flips.beside(np.array([0.01, 0.01]), [one, none], known) == pytest.approx([0.02, 0.01])
    assert flips.beside(np.array([0.5, 0.5]), [one, none], np.zeros(0)).tolist() == [0.5, 0.5]


def test_cases_that_were_not_asked_score_as_if_there_were_no_flips(fitted: Reference) -> None:
    without = fit({"A": cases(200, 1)}, CONFIG, extractor="", seed=0)
    for instrument in ("A", None):
        scorer, plain = fitted.scorer(instrument, "plausibility"), without.scorer(instrument, "plausibility")
        assert scorer.p_values(cases(50, 2)).tolist() == plain.p_values(cases(50, 2)).tolist()
        asked = cases(50, 2, 0.5)
        assert (scorer.p_values(asked) <= 0.02).all(), "another answer in the mirror is strange"
        assert plain.p_values(asked).tolist() == plain.p_values(cases(50, 2)).tolist(), "a reference without them"


def test_usual_disagreement_is_no_cause_for_alarm(fitted: Reference) -> None:
    p = fitted.scorer("A", "plausibility").p_values(cases(2000, 3, 0.03))
    for level in (0.02, 0.05, 0.1):
        assert (p <= level).mean() <= level * 1.6 + 0.01


def test_it_is_kept_in_the_file_and_few_cases_make_none(fitted: Reference, tmp_path: Path) -> None:
    fitted.write(tmp_path / "reference.npz")
    again = reference.read(tmp_path / "reference.npz")
    seen = cases(30, 4, 0.1)
    assert again.scorer("A", "plausibility").p_values(seen).tolist() == pytest.approx(
        fitted.scorer("A", "plausibility").p_values(seen).tolist()
    )
    few = [*cases(19, 5, 0.03), *cases(180, 6)]
    assert not fit({"A": few}, CONFIG, extractor="", seed=0).flips
