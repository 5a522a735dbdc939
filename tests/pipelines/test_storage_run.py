"""Both pipelines with nothing between them but an object store: what bundles name is fetched from there."""

import shutil
from pathlib import Path

import data_kit
import pytest
from storage_kit import BUCKET, serving

from parfocal.adapters import connect, kubeflow, storage
from parfocal.core import bundle, manifest, scores
from parfocal.steps.config import RunConfig

SMALL = {
    "recipe": {"size": 32},
    "model": {"depth": 2, "width": 4, "increment": 1.5, "dropout": 0.0},
    "train": {"steps": 2, "batch_size": 2, "validate_every": 2},
    "retrain": {"train": {"steps": 2, "batch_size": 2, "validate_every": 2}, "exemplars": 2},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 1},
}


def config(instrument: str) -> str:
    return RunConfig.parse({**SMALL, "data": {"reader": "folder", "instrument": instrument}}).canonical_json()


@pytest.mark.slow
def test_a_retrain_finds_what_the_champion_names_though_no_folder_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    shared, root = tmp_path / "shared", f"s3://{BUCKET}/parfocal"
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PARFOCAL_SHARED", str(shared))
    monkeypatch.setenv("PARFOCAL_STORAGE", root)
    with serving():
        uris = {}
        for instrument, first in (("A", "a"), ("B", "b")):
            made = data_kit.source(tmp_path / instrument, data_kit.patients(20, first), seed=ord(first))
            manifest.seal(made, "experience")
            uris[instrument] = storage.store(made, storage.experience_uri(root, "fundus", instrument, 1))
            shutil.rmtree(made)
        arguments = {"config": config("A"), "experience_uri": uris["A"], "idempotency_key": "first"}
        kubeflow.run_local(kubeflow.pipeline("initial"), arguments, tmp_path / "runs")
        shutil.rmtree(tmp_path / "runs")
        shutil.rmtree(shared)  # as the pods' own folders are gone when the next pipeline comes
        (version,) = connect().models.versions("fundus")
        fetched = connect().models.fetch("fundus", version.version, tmp_path / "serving")
        champion = storage.store(fetched, f"{root}/bundles/fundus/{version.checksum}")
        arguments = {"config": config("B"), "experience_uri": uris["B"], "champion_uri": champion}
        ran = kubeflow.run_local(
            kubeflow.pipeline("continual"), {**arguments, "idempotency_key": "second"}, tmp_path / "runs"
        )
        made = bundle.read(Path(ran.outputs["bundle"]))
        judged = scores.read(Path(ran.outputs["evaluation"]))
        assert {score.instrument for score in judged.scores["challenger"]} == {"A", "B"}
        for place in (Path(made.memory_uri), *(Path(one.uri) for one in made.datasets)):
            assert place.is_relative_to(shared)
            shutil.rmtree(place)
            kubeflow.storage_kept.fetch(place)
            assert manifest.verify(place)
        assert [file.name for file in Path(ran.outputs["memory"]).iterdir()] == ["manifest.json"]
