"""Both pipelines, from labelled phantoms to a gate's decision, as the compiled YAML says."""

import json
from pathlib import Path

import pytest
from pipelines_kit import config, write_experience

from parfocal.adapters import connect, kubeflow
from parfocal.adapters.kubeflow import LocalRun
from parfocal.core import bundle, manifest, scores
from parfocal.core.errors import DataContractError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop").resolve()


@pytest.fixture(scope="module")
def world(place: Path) -> object:
    """The environment that the steps' processes inherit."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PARFOCAL_STATE", str(place / "state"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def first(place: Path, world: object) -> LocalRun:
    arguments = {
        "config": config("A"),
        "experience_uri": str(write_experience(place / "a", "A", 0)),
        "idempotency_key": "first",
    }
    # As on a cluster, where a pod's own folders are gone when the next pipeline comes.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PARFOCAL_SHARED", str(place / "shared"))
        return kubeflow.run_local(kubeflow.pipeline("initial"), arguments, place / "runs")


@pytest.fixture(scope="module")
def second(place: Path, first: LocalRun) -> LocalRun:
    arguments = {
        "config": config("B"),
        "experience_uri": str(write_experience(place / "b", "B", 100)),
        "champion_uri": first.outputs["bundle"],
        "idempotency_key": "second",
    }
    return kubeflow.run_local(kubeflow.pipeline("continual"), arguments, place / "runs")


def test_a_first_model_is_trained_judged_and_registered(first: LocalRun) -> None:
    made = bundle.read(Path(first.outputs["bundle"]))
    assert (made.instruments, list(made.structures), made.key) == (("A",), ["disc", "cup"], "first")
    assert first.outputs["outcome"] in {"promote", "refuse", "inconclusive"}
    assert manifest.read(Path(first.outputs["memory"])).kind == "memory"
    versions = connect().models.versions("fundus")
    assert [version.checksum for version in versions] == [manifest.read(Path(first.outputs["bundle"])).checksum]


def test_what_a_bundle_names_by_path_is_on_the_volume_that_later_pods_see(first: LocalRun, place: Path) -> None:
    made = bundle.read(Path(first.outputs["bundle"]))
    named = [Path(made.memory_uri), *(Path(ref.uri) for ref in made.datasets)]
    assert [path for path in named if not path.is_relative_to(place / "shared")] == []
    assert all(manifest.verify(path) for path in named)
    assert Path(first.outputs["memory"]).is_relative_to(place / "runs")


def test_a_new_instrument_is_learned_beside_the_champion_and_a_small_test_is_no_failure(second: LocalRun) -> None:
    made = bundle.read(Path(second.outputs["bundle"]))
    assert made.instruments == ("A", "B")
    judged = scores.read(Path(second.outputs["evaluation"]))
    assert judged.champion
    assert set(judged.scores) == {"challenger", "champion", "constant"}
    assert {score.instrument for score in judged.scores["challenger"]} == {"A", "B"}
    decided = json.loads((Path(second.outputs["promotion"]) / "decision.json").read_text())
    assert decided["outcome"] == second.outputs["outcome"] != "promote", "12 test patients can promote nothing"


def test_the_artifacts_that_the_ui_renders_are_filled(second: LocalRun, place: Path) -> None:
    (report,) = place.glob("runs/parfocal-continual-*/evaluate/report")
    assert "<html" in report.read_text().lower()
    for step in ("evaluate", "promote"):
        (summary,) = place.glob(f"runs/parfocal-continual-*/{step}/summary")
        assert summary.read_text().strip()
        (said,) = place.glob(f"runs/parfocal-continual-*/{step}/executor_output.json")
        assert json.loads(said.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    (said,) = place.glob("runs/parfocal-continual-*/evaluate/executor_output.json")
    curve = json.loads(said.read_text(), parse_constant=pytest.fail)["artifacts"]["curve"]["artifacts"][0]["metadata"]
    assert set(curve) in ({"confidenceMetrics"}, {"confusionMatrix"})


def test_a_training_and_a_dataset_are_shown_too(second: LocalRun, place: Path) -> None:
    (said,) = place.glob("runs/parfocal-continual-*/retrain/executor_output.json")
    metrics = json.loads(said.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert {metrics["steps disc"], metrics["steps cup"]} == {4}
    assert {f"best validation dice {camera} {name}" for camera in "AB" for name in ("disc", "cup")} <= set(metrics)
    (summary,) = place.glob("runs/parfocal-continual-*/retrain/summary")
    assert "| cup | A | 4 |" in summary.read_text()
    assert "Strategy replay" in summary.read_text()
    (summary,) = place.glob("runs/parfocal-continual-*/preprocess/summary")
    assert "No file was left out." in summary.read_text()


def test_nothing_is_promoted_and_no_model_card_is_made(second: LocalRun, place: Path) -> None:
    assert not list(place.glob("runs/parfocal-continual-*/model-card"))


def test_a_pipeline_is_one_mlflow_run_named_by_its_key(second: LocalRun, place: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(connect().settings.mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("parfocal").experiment_id])
    keys = sorted(run.data.tags["parfocal.key"] for run in runs)
    assert keys == ["first", "second"]
    assert all(run.info.status == "FINISHED" for run in runs)


def test_a_bad_experience_stops_the_pipeline_with_the_steps_own_words(place: Path, world: object) -> None:
    folder = write_experience(place / "bad", "A", 200)
    (broken, *_) = sorted((folder / "images").iterdir())
    broken.write_bytes(b"not an image")
    arguments = {"config": config("A"), "experience_uri": str(folder), "idempotency_key": "bad"}
    with pytest.raises(DataContractError, match=broken.name) as raised:
        kubeflow.run_local(kubeflow.pipeline("initial"), arguments, place / "bad-runs")
    assert "step 'preprocess' failed" in raised.value.what
    assert not list(place.glob("bad-runs/*/preprocess/dataset"))
