"""What hangs on the gate's word: the model card of a first model that a mild gate lets through."""

import json
import shutil
from pathlib import Path

import pytest
from pipelines_kit import write_experience

from parfocal.adapters import connect, kubeflow
from parfocal.promotion import account, card
from parfocal.steps.config import RunConfig

SMALL = {
    "data": {"reader": "folder", "instrument": "A"},
    "recipe": {"size": 64},
    "model": {"depth": 4, "width": 8, "dropout": 0.0},
    "train": {"steps": 150, "batch_size": 4, "validate_every": 50, "learning_rate": 0.01},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 1},
    "gate": {
        "level": 0.6,
        "min_patients": 2,
        "floors": {"disc": 0.3},
        "latency_ms": 60000.0,
        "agreement": 0.5,
    },
}


@pytest.mark.slow
def test_a_promoted_version_shows_the_card_that_the_ledger_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    source = write_experience(tmp_path / "a", "A", 0)
    shutil.rmtree(source / "cup")
    config = RunConfig.parse(SMALL).canonical_json()
    arguments = {"config": config, "experience_uri": str(source), "idempotency_key": "k"}

    done = kubeflow.run_local(kubeflow.pipeline("initial"), arguments, tmp_path / "runs")

    decision = json.loads((Path(done.outputs["promotion"]) / "decision.json").read_text())
    assert done.outputs["outcome"] == "promote", decision["reason"]
    (said,) = (tmp_path / "runs").glob("parfocal-initial-*/evaluate/executor_output.json")
    matrix = json.loads(said.read_text())["artifacts"]["curve"]["artifacts"][0]["metadata"]["confusionMatrix"]
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == ["disc", "not disc"], "no cup, so no ratios"
    (shown,) = (tmp_path / "runs").glob("parfocal-initial-*/model-card/card")
    evidence = account.evidence_of(connect().ledger.entries("fundus"), "1")
    assert shown.read_text() == card.render(evidence)
