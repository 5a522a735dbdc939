import json
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import dsl

from parfocal.adapters import kubeflow
from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.scores import CaseScore, Evaluation
from parfocal.core.types import Check, Decision, Outcome


def artifact(path: Path) -> dsl.Artifact:
    path.parent.mkdir(parents=True, exist_ok=True)
    return dsl.Artifact(uri=str(path))


def write(folder: Path) -> None:
    with manifest.new_folder(folder, "dataset") as scratch:
        (scratch / "a.txt").write_text("a")


def test_a_sealed_folder_becomes_the_artifact_with_kind_and_checksum(tmp_path: Path) -> None:
    out = artifact(tmp_path / "task" / "dataset")
    with kubeflow.sealed(out) as (place,):
        write(place)
    made = manifest.verify(Path(out.path), "dataset")
    assert (out.metadata["kind"], out.metadata["checksum"]) == ("dataset", made.checksum)


def test_with_a_shared_folder_the_step_writes_there_and_the_artifact_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_SHARED", str(tmp_path / "shared"))
    out = artifact(tmp_path / "pod" / "dataset")
    with kubeflow.sealed(out) as (place,):
        write(place)
    assert place.is_relative_to(tmp_path / "shared")
    assert manifest.verify(place).checksum == manifest.verify(Path(out.path)).checksum
    assert kubeflow.folder(out) == place, "the next step records the path that lasts"
    elsewhere = artifact(tmp_path / "pod" / "imported")
    assert kubeflow.folder(elsewhere) == Path(elsewhere.path)


def test_of_a_memory_the_artifact_gets_the_manifest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patients' images stay where `memory purge` reaches them."""
    monkeypatch.setenv("PARFOCAL_SHARED", str(tmp_path / "shared"))
    out = artifact(tmp_path / "pod" / "memory")
    with kubeflow.sealed(out) as (place,), manifest.new_folder(place, "memory", seed=0) as scratch:
        (scratch / "exemplars.json").write_text("{}")
    assert manifest.verify(place).kind == "memory"
    assert [file.name for file in Path(out.path).iterdir()] == [manifest.MANIFEST]
    assert kubeflow.folder(out) == place


def test_what_an_earlier_attempt_left_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_SHARED", str(tmp_path / "shared"))
    first, second = artifact(tmp_path / "pod" / "bundle"), artifact(tmp_path / "pod" / "memory")
    with pytest.raises(OSError, match="disk full"), kubeflow.sealed(first, second) as (one, _):
        write(one)
        raise OSError("disk full")
    with kubeflow.sealed(first, second) as places:
        for place in places:
            write(place)
    assert manifest.verify(Path(second.path)).kind == "dataset"


def score(instrument: str, dice: float) -> CaseScore:
    return CaseScore(instrument=instrument, structure="disc", case="c", patient="p", metrics={"dice": dice})


def test_metrics_of_an_evaluation_are_mean_dice_by_cell_and_model(tmp_path: Path) -> None:
    judged = Evaluation(
        task="fundus",
        challenger="x",
        new_instrument="b",
        scores={"challenger": (score("a", 0.8), score("a", 0.9), score("b", 0.7)), "constant": (score("a", 0.5),)},
        tests={},
        latency_ms={},
        agreement={},
        runtime="openvino",
        matrix=(),
    )
    (tmp_path / "scores.json").write_text(judged.model_dump_json())
    (tmp_path / "report.html").write_text("<html>")
    (tmp_path / "summary.md").write_text("# summary")
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    report, summary = artifact(tmp_path / "out" / "report"), artifact(tmp_path / "out" / "summary")
    curve = dsl.ClassificationMetrics(uri=str(tmp_path / "curve"))
    kubeflow.show_evaluation(tmp_path, metrics, curve, report, summary)
    assert not curve.metadata, "no ratios, and no image's size"
    assert metrics.metadata == pytest.approx(
        {"dice a disc challenger": 0.85, "dice b disc challenger": 0.7, "dice a disc constant": 0.5}
    )
    assert (Path(report.path).read_text(), Path(summary.path).read_text()) == ("<html>", "# summary")


def test_a_refusal_is_shown_and_returned_like_any_answer_and_nan_left_out(tmp_path: Path) -> None:
    checks = (
        Check("gain", "b", "disc", Outcome.REFUSE, -0.1, 0.0, "worse"),
        Check("creep", "a", "disc", Outcome.INCONCLUSIVE, float("nan"), 0.03, "nobody knows"),
    )
    (tmp_path / "summary.md").write_text("refused")
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    summary = artifact(tmp_path / "out" / "summary")
    said = kubeflow.show_decision(Decision(Outcome.REFUSE, checks, "worse"), tmp_path, metrics, summary)
    assert said == "refuse"
    assert metrics.metadata == {"gain b disc": -0.1, "outcome": "refuse"}
    json.dumps(metrics.metadata, allow_nan=False)


def test_installed_pipelines_and_components_are_found_by_name() -> None:
    assert set(kubeflow.available()) >= {"initial", "continual", "pretrained", "study"}
    assert set(kubeflow.components()) >= {"preprocess", "pretrain", "train", "retrain", "evaluate", "promote"}
    assert kubeflow.component("retrain").name == "retrain"
    assert kubeflow.Compiled.read(kubeflow.pipeline("continual")).title


def test_a_name_that_is_none_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="initial"):
        kubeflow.pipeline("initail")
    with pytest.raises(UsageError, match="preprocess"):
        kubeflow.component("preproces")


def test_a_package_that_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeflow, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="not installed"):
        kubeflow.available()


def test_compiling_with_a_bad_placement_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {gpus: 4}\n")
    with pytest.raises(UsageError, match=r"train\.gpus"):
        kubeflow.compile_all(tmp_path, str(file))


def test_the_module_that_every_step_imports_loads_no_kfp() -> None:
    program = (
        "import sys, parfocal.adapters.kubeflow; print([n for n in ('kfp', 'torch', 'mlflow') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_log_line_that_only_looks_like_a_report_is_left_alone(tmp_path: Path) -> None:
    from parfocal.adapters.kubeflow_log import StepLog
    from parfocal.core.reporting import Silent

    with (tmp_path / "log").open("w") as file:
        log = StepLog(file, Silent())
        log.write('{"note"\n{"other": 1}\n[1]\npart')
        log.write("ial\n")
    assert (tmp_path / "log").read_text().endswith("partial\n")
    assert log.step == ""
