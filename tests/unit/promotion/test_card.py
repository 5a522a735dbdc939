"""The model card and the advice are written from the decision and its evidence, for people."""

from pathlib import Path

import pytest
from promotion_kit import better, first, write_bundle, write_dataset

from parfocal.core import bundle, manifest
from parfocal.core.scores import Evaluation
from parfocal.core.task import TASKS
from parfocal.core.types import Check, Outcome
from parfocal.promotion import advice, card, conditions, evidence, summary
from parfocal.promotion.evidence import Origin
from parfocal.promotion.gate import GatePolicy, decide, take_over
from parfocal.promotion.ledger import next_entry
from parfocal.promotion.table import rows

ALARM = {
    "instrument": "B", "reference": "0123456789ab", "time": 1_790_000_000.0,
    "streams": [{"stream": "framing", "statistic": 9.5, "threshold": None}],
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "A", "A")
    write_bundle(tmp_path / "bundle", "weights", datasets=[tmp_path / "A"])
    return tmp_path / "bundle"


def file(model: Path, judged: Evaluation, origin: Origin = evidence.UNKNOWN, by: str = "") -> dict[str, object]:
    policy = GatePolicy()
    decision = decide(judged, policy, best={})
    decision = take_over(decision, by, "seen all of them") if by else decision
    body = evidence.decision_body(decision, judged, "e" * 64, policy, "k1")
    return evidence.build(
        model=bundle.read(model),
        sealed=manifest.read(model),
        evaluation=judged,
        decided=next_entry(None, "2026-11-21T10:00:00+00:00", "decision", "fundus", "k1", body),
        version="3",
        rollback={"version": "2", "checksum": "a" * 64} if judged.champion else None,
        origin=origin,
    )


def test_a_card_says_that_the_scores_are_of_clicks(model: Path) -> None:
    told = file(model, better(manifest.read(model).checksum, "a" * 64))
    assert "answers clicks" not in card.render(told)
    told["model"] = {**told["model"], "clicked": ["disc"]}  # type: ignore[dict-item]
    assert "after one click a structure that was placed with the truth's help" in card.render(told)


def test_a_card_has_every_section_and_a_row_for_every_cell(model: Path) -> None:
    judged = better(manifest.read(model).checksum, "a" * 64)
    page = card.render(file(model, judged, Origin(ALARM, "registry/parfocal@sha256:12"), by=""))
    for title in ("Intended use", "Not for", "How good it is", "Data", "How it was made", "Limits", "Decision"):
        assert f"\n## {title}\n" in page
    assert page.startswith("# Model card: fundus, version 3\n\nPromoted 2026-11-21 10:00 UTC, by the gate.")
    assert "| A | disc | 25 | 0.930 (0.9" in page
    assert ") | 0.96" in page
    assert "| B | disc | 25 | 0.850 (" in page
    assert "colour fundus photograph" in page
    assert "image: registry/parfocal@sha256:12." in page
    assert "alarm of 2026-09-21 14:13 UTC on B (framing 9.5; reference 0123456789ab)" in page
    assert "| A | 1 / 1 / 1 | `" in page
    assert "Way back: version 2, bundle `aaaaaaaaaaaa`" in page


def test_a_card_names_what_speaks_against_the_model(model: Path) -> None:
    page = card.render(file(model, better(manifest.read(model).checksum, "a" * 64, patients=9), by="Ada"))
    assert "approved by Ada" in page
    assert "- The disc on B was tested on 9 patients; 20 are asked for." in page
    assert "Not shown: The disc on B is judged on 9 patients" in page
    assert "image: not named by the environment (PARFOCAL_IMAGE)" in page
    assert "no alarm is on record: a person started it, or its evidence is older than such records" in page


def test_a_first_model_and_one_patient_have_a_card(model: Path) -> None:
    page = card.render(file(model, first(manifest.read(model).checksum, patients=1)))
    assert "| A | disc | 1 | 0.900 | 0.900 | 0.900 |  | 0.400 |" in page
    assert "Way back: none, the first model" in page


@pytest.mark.parametrize("task", TASKS)
def test_every_task_says_what_it_is_for(task: str) -> None:
    assert task in card.USES


def test_evidence_has_the_table_the_code_and_the_alarm(model: Path) -> None:
    judged = better(manifest.read(model).checksum, "a" * 64)
    found = file(model, judged, Origin(ALARM, "image@sha256:12"))
    assert found["cells"] == rows(judged, GatePolicy())
    assert (found["alarm"], found["image"]) == (ALARM, "image@sha256:12")
    assert found["code"] == {"version": found["code_version"], "digest": evidence.code_digest()}
    (old, new) = found["cells"]  # type: ignore[misc]
    assert (old["instrument"], old["patients"], old["failures"], old["rrp10"]) == ("A", 25, 0, 100.0)
    assert old["skill"] == pytest.approx((old["dice"]["mean"] - 0.4) / 0.6)
    assert new["champion"]["change"] == pytest.approx(0.2, abs=0.002)
    assert new["champion"]["low"] < new["champion"]["change"] < new["champion"]["high"]


def test_the_codes_digest_is_of_what_the_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("one")
    monkeypatch.setattr(evidence.parfocal, "__file__", str(tmp_path / "__init__.py"))
    evidence.code_digest.cache_clear()
    before = evidence.code_digest()
    (tmp_path / "a.py").write_text("two")
    evidence.code_digest.cache_clear()
    assert evidence.code_digest() != before
    evidence.code_digest.cache_clear()


NAMES = ("size", "floor", "gain", "no-loss", "creep", "rrp10", "failures", "constant-mask", "agreement", "latency")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outcome", [Outcome.REFUSE, Outcome.INCONCLUSIVE])
def test_every_condition_that_is_not_met_says_what_to_change(name: str, outcome: Outcome) -> None:
    never = {("size", Outcome.REFUSE), *((one, Outcome.INCONCLUSIVE) for one in ("floor", "failures"))}
    if (name, outcome) in never:
        return
    assert name in summary.UNIT
    said = advice.advice(Check(name, "B", "disc", outcome, 9.0, 20.0, "why"))
    assert len(said) > 30
    assert "{" not in said


def test_a_condition_that_is_met_asks_for_nothing_and_a_small_test_for_the_patients_that_are_missing() -> None:
    assert advice.advice(Check("gain", "B", "disc", Outcome.PROMOTE, 0.1, 0.0, "why")) == ""
    few = advice.advice(Check("size", "B", "disc", Outcome.INCONCLUSIVE, 9.0, 20.0, "why"))
    assert few == "Label test patients of B: 11 more, drawn at random."


def test_the_summary_of_a_refusal_shows_what_to_change(model: Path) -> None:
    page = summary.render(file(model, better(manifest.read(model).checksum, "a" * 64, gain=-0.2)))
    assert "## What to change" in page
    assert "Nothing useful was learned of B" in page
    assert "What to change" not in summary.render(file(model, better(manifest.read(model).checksum, "a" * 64)))


def test_every_number_of_the_gates_design_is_in_the_policy() -> None:
    policy = GatePolicy()
    assert (policy.margin, policy.creep, policy.min_patients) == (0.02, 0.03, 20)
    assert (policy.rrp_points, policy.failure_dice, policy.failure_rise) == (5.0, 0.5, 1)
    assert all(field.description for field in GatePolicy.model_fields.values())
    assert conditions.PROMOTE is Outcome.PROMOTE
