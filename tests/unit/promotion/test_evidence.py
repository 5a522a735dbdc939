"""The evidence names the data, the parents, the decision and the way back; the summary is for a person."""

from pathlib import Path

import pytest
from promotion_kit import better, first, write_bundle, write_dataset

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.scores import Evaluation
from parfocal.promotion import evidence, summary
from parfocal.promotion.gate import GatePolicy, decide, take_over
from parfocal.promotion.ledger import next_entry


def build(folder: Path, judged: Evaluation, approved: bool = False) -> dict[str, object]:
    policy = GatePolicy()
    decision = decide(judged, policy, best={})
    decision = take_over(decision, "Ada", "seen all of them") if approved else decision
    body = evidence.decision_body(decision, judged, "e" * 64, policy, "k1")
    return evidence.build(
        model=bundle.read(folder),
        sealed=manifest.read(folder),
        evaluation=judged,
        decided=next_entry(None, "2026-11-21T10:00:00+00:00", "decision", "fundus", "k1", body),
        version="3",
        rollback={"version": "2", "checksum": "a" * 64} if judged.champion else None,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "A", "A")
    write_bundle(tmp_path / "bundle", "weights", datasets=[tmp_path / "A"])
    return tmp_path / "bundle"


def test_evidence_names_data_hashes_and_patients_by_split(model: Path) -> None:
    (data,) = build(model, first(manifest.read(model).checksum))["data"]  # type: ignore[misc]
    assert data["patients"] == {"train": 1, "validation": 1, "test": 1}
    assert (data["test_checksum"], data["checksum"]) == ("A00", manifest.read(model.parent / "A").checksum)


def test_data_out_of_reach_are_named_and_not_counted(model: Path) -> None:
    (model.parent / "A").rename(model.parent / "elsewhere")
    (data,) = build(model, first(manifest.read(model).checksum))["data"]  # type: ignore[misc]
    assert data["patients"] is None
    assert data["checksum"]


def test_other_data_in_the_place_of_those_learned_from_are_an_error(model: Path) -> None:
    (model.parent / "A").rename(model.parent / "elsewhere")
    write_dataset(model.parent / "A", "B")
    with pytest.raises(DataContractError, match="not the one the model learned from"):
        build(model, first(manifest.read(model).checksum))


def test_a_decision_survives_json(model: Path) -> None:
    decision = decide(better(manifest.read(model).checksum, "a" * 64), GatePolicy(), best={})
    assert evidence.read_decision(evidence.decision_values(decision)) == decision


def test_the_summary_shows_every_condition_with_limit_and_interval(model: Path) -> None:
    page = summary.render(build(model, better(manifest.read(model).checksum, "a" * 64)))
    assert page.startswith("# Gate: promote\n\nAll 14 conditions on 2 cells are met.")
    assert "| no-loss | A / disc | -0.000 | above -0.02 | -0.001 to +0.001 | met |" in page
    assert "| latency | bundle | 20.0 ms | at most 38.0 |  | met |" in page
    assert "Way back: version 2, bundle `aaaaaaaaaaaa`." in page
    assert "| A | 1 / 1 / 1 | `" in page


def test_the_summary_says_what_cannot_be_said_and_who_approved(model: Path) -> None:
    checksum = manifest.read(model).checksum
    assert "*cannot be said*" in summary.render(build(model, better(checksum, "a" * 64, patients=9)))
    page = summary.render(build(model, better(checksum, "a" * 64, patients=9), approved=True))
    assert page.startswith("# Gate: promote, approved by Ada")
    assert "seen all of them" in page


def test_an_approval_has_a_name_and_a_reason() -> None:
    with pytest.raises(UsageError, match="a name and a reason"):
        evidence.Approval("Ada", "  ")


def test_an_evaluation_wears_its_test_set_once_however_often_it_is_decided_on() -> None:
    judged, policy = first("c" * 64), GatePolicy()
    decision = decide(judged, policy, best={})
    entries = [
        next_entry(None, "t", "decision", "fundus", key, evidence.decision_body(decision, judged, made, policy, key))
        for key, made in [("k1", "e1"), ("k1+approved", "e1"), ("k2", "e2")]
    ]
    assert evidence.uses(entries, "A", judged.tests["A"].checksum) == 2
    assert evidence.uses(entries, "A", "grown since") == 0


def test_evidence_has_all_that_a_change_control_plan_asks_for(model: Path) -> None:
    file = build(model, better(manifest.read(model).checksum, "a" * 64))
    assert set(file) >= {
        "alarm", "approval", "cells", "code", "data", "decided", "decision", "evaluation", "image", "key", "matrix",
        "memory", "model", "policy", "rollback", "task", "tests",
    }  # fmt: skip
    assert (file["model"]["seed"], file["model"]["parent"]) == (7, None)  # type: ignore[index]
    assert file["rollback"] == {"version": "2", "checksum": "a" * 64}
    assert file["matrix"][-1]["dice"]["B"]["disc"] == pytest.approx(0.85, abs=0.01)  # type: ignore[index]
    assert (file["memory"], file["alarm"], file["image"]) == (None, None, None)  # none here, and that is said


def test_evidence_names_the_exemplar_memory_by_the_checksum_of_every_file(tmp_path: Path) -> None:
    with manifest.new_folder(tmp_path / "memory", "memory") as folder:
        (folder / "exemplars.json").write_text("{}")
    kept = evidence._memory(str(tmp_path / "memory"))
    assert kept is not None
    assert kept["files"] == {"exemplars.json": manifest.sha256(tmp_path / "memory" / "exemplars.json")}
    assert evidence._memory("/nowhere") == {"uri": "/nowhere", "checksum": None, "files": None}
