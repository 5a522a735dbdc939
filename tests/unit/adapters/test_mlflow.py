"""Runs are joined, never doubled; a failure is marked; a model is found by what it is."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from promotion_kit import platform, settings, write_bundle, write_dataset

from parfocal.adapters import connect
from parfocal.adapters.mlflow import KEY, MlflowRun
from parfocal.core.errors import OutsideServiceError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tracker(tmp_path: Path) -> Any:
    return platform(tmp_path / "state").tracker


def found(tracker: Any, run_id: str) -> Any:
    return tracker._mlflow.client.get_run(run_id)


def all_runs(tracker: Any) -> list[Any]:
    return list(tracker._mlflow.client.search_runs([tracker._mlflow.experiment]))


def test_a_run_keeps_all_it_was_told(tracker: Any, tmp_path: Path) -> None:
    write_dataset(tmp_path / "A", "A")
    (tmp_path / "report.html").write_text("<p>")
    with tracker.run("train", key="k1", tags={"why": "test"}) as run:
        run.params({f"p{i}": i for i in range(150)} | {"long": "x" * 9000})
        run.metrics({"dice": 0.5, "gate.gain.Topcon (2nd floor).disc": 0.1}, step=3)
        run.metrics({"dice": 0.6}, step=4)
        run.artifact(tmp_path / "report.html", "reports")
        run.artifact(tmp_path / "A", "data")
        run.text("hello", "notes/hello.txt")
        run.dataset(tmp_path / "A", "training")
    kept = found(tracker, run.id)
    assert kept.info.status == "FINISHED"
    assert (len(kept.data.params), kept.data.params["p149"]) == (151, "149")
    assert kept.data.metrics["dice"] == 0.6
    assert kept.data.tags | {KEY: "k1", "why": "test"} == kept.data.tags
    (dataset,) = kept.inputs.dataset_inputs
    assert json.loads(dataset.dataset.profile)["checksum"].startswith(dataset.dataset.digest)
    assert dataset.tags[0].value == "training"
    client = tracker._mlflow.client
    assert {file.path for place in ("reports", "data", "notes") for file in client.list_artifacts(run.id, place)} == {
        "reports/report.html", "data/dataset.json", "data/manifest.json", "notes/hello.txt",
    }  # fmt: skip


def test_the_same_key_joins_the_run_that_failed_and_finishes_it(tracker: Any) -> None:
    with pytest.raises(ValueError, match="disk"), tracker.run("train", key="it's one") as run:
        run.params({"rate": 1, "steps": 5})
        raise ValueError("no room on the disk")
    assert found(tracker, run.id).info.status == "FAILED"
    assert found(tracker, run.id).data.tags["parfocal.error"] == "ValueError: no room on the disk"
    with tracker.run("train", key="it's one") as again:
        again.params({"rate": 2, "steps": 5})
    assert (again.id, len(all_runs(tracker))) == (run.id, 1)
    kept = found(tracker, run.id)
    assert (kept.info.status, kept.data.params["rate"], kept.data.tags["param.rate"]) == ("FINISHED", "1", "2")


def test_an_interrupted_run_is_marked_killed(tracker: Any) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("train") as run:
        raise KeyboardInterrupt
    assert found(tracker, run.id).info.status == "KILLED"


def test_a_run_of_the_environment_is_logged_into_and_never_closed(
    tracker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tracker._mlflow.client
    theirs = client.create_run(tracker._mlflow.experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    with tracker.run("train", key="k") as run:
        run.metrics({"dice": 0.5})
    with pytest.raises(ValueError, match="boom"), tracker.run("evaluate", key="k"):
        raise ValueError("boom")
    assert (run.id, len(all_runs(tracker))) == (theirs, 1)
    kept = found(tracker, theirs)
    assert (kept.info.status, kept.data.metrics["dice"]) == ("RUNNING", 0.5)
    assert kept.data.tags["parfocal.error.evaluate"] == "ValueError: boom"


def test_a_run_that_is_gone_is_an_outside_failure(tracker: Any) -> None:
    with pytest.raises(OutsideServiceError, match="could not take metrics"):
        MlflowRun(tracker._mlflow, "0" * 32).metrics({"dice": 0.5})


def test_a_run_s_own_trouble_is_reported_although_mlflow_is_gone_too(tracker: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the real trouble"), tracker.run("train"):
        tracker._mlflow.client.set_terminated = lambda *_: (_ for _ in ()).throw(OSError("gone"))
        raise ValueError("the real trouble")


def test_a_registered_model_has_no_pickle_and_says_how_it_is_loaded(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", "weights")
    made = platform(tmp_path / "state").models.register(tmp_path / "bundle", "fundus", tags={"parfocal.run": ""})
    root = Path(made.uri).parents[1]
    files = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    assert files == {
        "MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt",
        "data/bundle/bundle.json", "data/bundle/manifest.json", "data/bundle/disc/weights.safetensors",
    }  # fmt: skip
    assert "loader_module: parfocal.adapters.bundle_flavor" in (root / "MLmodel").read_text()
    needed = (root / "requirements.txt").read_text().split()
    assert [name.partition("==")[0] for name in needed] == ["mlflow", "parfocal"]


def test_registering_leaves_no_address_behind_for_the_next_one(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", "weights")
    platform(tmp_path / "state").models.register(tmp_path / "bundle", "fundus")
    assert "MLFLOW_TRACKING_URI" not in os.environ


def register(state: Path, bundle: Path) -> None:
    platform(state).models.register(bundle, "fundus")


def test_two_processes_that_register_one_bundle_agree_on_its_version(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", "weights")
    store = platform(tmp_path / "state").models
    store._ensure_model("fundus")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=register, args=(tmp_path / "state", tmp_path / "bundle")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(180)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert store.register(tmp_path / "bundle", "fundus").version == "1"
    assert store.fetch("fundus", "1", tmp_path / "models").name == store.versions("fundus")[0].checksum


def begin(state: Path, at_once: Any) -> None:
    at_once.wait(90)
    try:
        with connect(settings(state)).tracker.run("train", key="k") as run:
            run.params({"steps": 3})
        connect(settings(state)).models.get("fundus", "champion")
    except BaseException:
        os._exit(6)
    os._exit(0)


def test_two_commands_at_once_make_the_tables_of_an_embedded_store_once(tmp_path: Path) -> None:
    """Without a lock one of them ended with `duplicate column name`, in every one of five tries."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # seconds, which the children need not wait apart

    context = multiprocessing.get_context("fork")
    at_once = context.Barrier(2)
    workers = [context.Process(target=begin, args=(tmp_path / "state", at_once)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(180)
    assert [worker.exitcode for worker in workers] == [0, 0]
    tracker = connect(settings(tmp_path / "state")).tracker
    assert {run.data.params["steps"] for run in all_runs(tracker)} == {"3"}
