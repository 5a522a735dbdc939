"""What a step leaves on Kubeflow's page, from small folders written by hand."""

import json
from pathlib import Path

import data_kit
import pytest
from kfp import dsl

from parfocal.adapters import kubeflow, kubeflow_training
from parfocal.core.scores import CaseScore, Evaluation
from parfocal.core.types import Split
from parfocal.preprocessing import shards
from parfocal.preprocessing.shards import Rejected


def evaluation(folder: Path, *scores: CaseScore) -> dsl.ClassificationMetrics:
    """The curve of these scores."""
    judged = Evaluation(
        task="fundus",
        challenger="x",
        new_instrument="a",
        scores={"challenger": scores},
        tests={},
        latency_ms={},
        agreement={},
        runtime="openvino",
        matrix=(),
    )
    (folder / "scores.json").write_text(judged.model_dump_json())
    for name in ("report.html", "summary.md"):
        (folder / name).write_text(name)
    shown = [dsl.Artifact(uri=str(folder / f"shown-{name}")) for name in ("report", "summary")]
    curve = dsl.ClassificationMetrics(uri=str(folder / "curve"))
    kubeflow.show_evaluation(folder, dsl.Metrics(uri=str(folder / "metrics")), curve, *shown)
    return curve


def eye(drawn: float, true: float) -> CaseScore:
    ratios = {"cdr": drawn, "vertical_cdr": drawn, "cdr_true": true, "vertical_cdr_true": true}
    areas = {"dice": 1.0, "area": 3.0, "area_true": 3.0, "pixels": 10.0}
    return CaseScore(instrument="a", structure="cup", case="c", patient="p", metrics={**areas, **ratios})


def test_eyes_of_both_kinds_give_a_curve_that_is_json_without_infinity(tmp_path: Path) -> None:
    curve = evaluation(tmp_path, eye(0.8, 0.75), eye(0.3, 0.4))
    points = json.loads(json.dumps(curve.metadata, allow_nan=False))["confidenceMetrics"]
    assert [(one["falsePositiveRate"], one["recall"], one["confidenceThreshold"]) for one in points] == [
        (0, 0, pytest.approx(1.8)),
        (0, 1, 0.8),
        (1, 1, 0.3),
    ]


def test_eyes_of_one_kind_give_the_matrix_of_pixels(tmp_path: Path) -> None:
    matrix = evaluation(tmp_path, eye(0.3, 0.4)).metadata["confusionMatrix"]
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == ["cup", "not cup"]
    assert [one["row"] for one in matrix["rows"]] == [[3, 0], [0, 7]]


def test_files_that_were_left_out_are_counted_by_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [Rejected(file=f"{n}.png", reason="a|b", next="draw it") for n in (1, 2)]
    made = tmp_path / "a"
    data_kit.dataset(data_kit.source(tmp_path / "photos", data_kit.patients(16)), made)
    dataset = shards.read_dataset(made).model_copy(
        update={"rejected": (Rejected(file="0.png", reason="unreadable"), *left)}
    )
    monkeypatch.setattr(shards, "read_dataset", lambda _: dataset)
    summary = dsl.Markdown(uri=str(tmp_path / "shown" / "summary"))
    kubeflow.show_dataset(made, summary)
    text = Path(summary.path).read_text()
    assert "3 files were left out" in text
    assert "| 2 | a\\|b | draw it | 1.png |\n| 1 | unreadable |  | 0.png |\n" in text
    tests = dataset.on(Split.TEST)
    assert f"| test | {len(tests)} | {len({case.patient for case in tests})} |" in text


def test_of_a_training_the_best_validation_of_its_newest_checkpoint_is_shown(tmp_path: Path) -> None:
    history = [
        {"step": 2, "loss": 0.3, "loss/dice": 0.2, "dice/A": 0.5, "dice/B": 0.7, "score": 0.6},
        {"step": 4, "loss": 0.2, "loss/dice": 0.1, "dice/A": 0.4, "dice/B": 0.6, "score": 0.5},
    ]
    for step, told in ((2, history[:1]), (4, history)):
        state = {"steps": 4, "done": step, "seconds": step / 4, "history": told}
        (tmp_path / f"step-{step:08d}.json").write_text(json.dumps({"step": step, "meta": {"state": state}}))
    found = kubeflow_training._last(tmp_path, "disc")
    assert found is not None
    assert (found.steps, found.seconds, found.best["step"]) == (4, 1.0, 2)
    assert found.scores == {"dice/A": 0.5, "dice/B": 0.7}
    assert kubeflow_training._last(tmp_path / "nothing", "disc") is None
