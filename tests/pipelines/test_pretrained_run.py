"""The pipeline `pretrained` as its compiled YAML says: the first model starts from what all images taught."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from parfocal.adapters import connect, kubeflow
from parfocal.core import bundle, manifest
from parfocal.steps.config import RunConfig

SMALL = {
    "data": {"reader": "phantom", "instrument": "A"},
    "recipe": {"size": 32},
    "model": {"depth": 2, "width": 6, "dropout": 0.0},
    "pretrain": {"objective": {"name": "restore"}, "steps": 4, "batch_size": 4, "validate_every": 2},
    "train": {"steps": 4, "batch_size": 4, "validate_every": 2, "encoder": {"freeze": True}},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 2},
}


def test_the_first_model_starts_from_the_pretrained_network_and_the_registry_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    experience = tmp_path / "a"
    experience.mkdir()
    (experience / "phantom.json").write_text('{"instrument": "A", "patients": [0, 20]}')
    arguments = {
        "config": RunConfig.parse(SMALL).canonical_json(),
        "experience_uri": str(experience),
        "idempotency_key": "few",
    }
    run = kubeflow.run_local(kubeflow.pipeline("pretrained"), arguments, tmp_path / "runs")
    start = manifest.verify(Path(run.outputs["start"]), "pretrained")
    origins = {name: one.pretrained for name, one in bundle.read(Path(run.outputs["bundle"])).structures.items()}
    assert {one.checksum for one in origins.values() if one} == {start.checksum}
    (version,) = connect().models.versions("fundus")
    assert version.checksum == manifest.read(Path(run.outputs["bundle"])).checksum
    settings = connect().settings
    registered = MlflowClient(settings.mlflow_uri).get_model_version("fundus", version.version)
    assert registered.tags["parfocal.pretrained.disc"] == f"restore {start.checksum}"
