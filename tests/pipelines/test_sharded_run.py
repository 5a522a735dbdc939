"""The pipeline `sharded` as its compiled YAML says: shards side by side, and the dataset of a single pod."""

import json
from pathlib import Path

import pytest

from parfocal.adapters import connect, kubeflow
from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.reporting import Silent
from parfocal.steps import preprocess
from parfocal.steps.config import RunConfig

SMALL = {
    "data": {"reader": "phantom", "instrument": "A"},
    "recipe": {"size": 32},
    "model": {"depth": 2, "width": 6, "dropout": 0.0},
    "train": {"steps": 2, "batch_size": 4, "validate_every": 2},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 1},
}


@pytest.mark.slow
def test_two_shards_become_the_dataset_of_one_pod_and_a_model_is_learned_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    source = tmp_path / "a"
    source.mkdir()
    (source / "phantom.json").write_text(json.dumps({"instrument": "A", "patients": [0, 16]}))
    config = RunConfig.parse(SMALL)
    expected = preprocess.run(source, tmp_path / "one", config, champion=None, reporter=Silent())

    arguments = {
        "config": config.canonical_json(), "experience_uri": str(source), "idempotency_key": "k", "shards": "2",
    }  # fmt: skip
    done = kubeflow.run_local(kubeflow.pipeline("sharded"), arguments, tmp_path / "runs")

    assert manifest.verify(Path(done.outputs["dataset"]), "dataset").files == expected.files
    assert manifest.read(Path(done.outputs["bundle"])).parents[0].checksum == expected.checksum
    shards = sorted((tmp_path / "runs").glob("parfocal-sharded-*/*/preprocess-shard*/found/shard.json"))
    assert sorted(json.loads(file.read_text())["shard"] for file in shards) == ["1/2", "2/2"]
    assert len(connect().models.versions("fundus")) == 1


def test_the_number_of_shards_may_be_left_to_the_pipeline_and_is_a_number() -> None:
    spec = kubeflow.Compiled.read(kubeflow.pipeline("sharded"))
    given = {"config": "", "experience_uri": "s3://a", "idempotency_key": "k"}
    assert spec.check(given) == given
    assert spec.check({**given, "shards": "2"}) == {**given, "shards": 2}
    with pytest.raises(UsageError, match="'shards' is not a whole number: two"):
        spec.check({**given, "shards": "two"})
    with pytest.raises(UsageError, match="without shards"):
        spec.check({**given, "shards": ""})


def test_every_shard_is_a_pod_that_is_tried_again_alone() -> None:
    components = kubeflow.Compiled.read(kubeflow.pipeline("sharded")).documents[0]["components"]
    (loop,) = [one["dag"]["tasks"] for name, one in components.items() if name.startswith("comp-for-loop")]
    assert set(loop) == {"preprocess-shard"}
    assert loop["preprocess-shard"]["retryPolicy"]["maxRetryCount"] == 2
    (steps,) = [one["dag"]["tasks"] for name, one in components.items() if name == "comp-parfocal-sharded-steps"]
    (over,) = [task for name, task in steps.items() if name.startswith("for-loop")]
    assert over["iteratorPolicy"] == {"parallelismLimit": 16}
