"""The pipeline `fleet` as its compiled YAML says: one instrument after another, each from the champion of its turn."""

import json
from pathlib import Path

import pytest

from parfocal.adapters import connect, kubeflow
from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError
from parfocal.steps.champion import CHAMPION_TAKEN
from parfocal.steps.config import RunConfig
from parfocal.steps.report_end import RUN_ENDED

SMALL = {
    "data": {"reader": "phantom"},
    "recipe": {"size": 32},
    "model": {"depth": 2, "width": 6, "dropout": 0.0},
    "train": {"steps": 2, "batch_size": 4, "validate_every": 2},
    "retrain": {"train": {"steps": 2, "batch_size": 4, "validate_every": 2}, "exemplars": 2},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 1},
}
CONFIG = RunConfig.parse({**SMALL, "data": {"reader": "phantom", "instrument": "A"}}).canonical_json()


def experience(folder: Path, instrument: str, first: int) -> str:
    folder.mkdir()
    (folder / "phantom.json").write_text(json.dumps({"instrument": instrument, "patients": [first, first + 16]}))
    return str(folder)


def ends() -> list[tuple[str, str]]:
    return [(entry.body["pipeline"], entry.body["state"]) for entry in connect().ledger.entries("fundus", RUN_ENDED)]


@pytest.mark.slow
def test_instruments_are_taught_one_after_another_and_every_end_is_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    first = {"config": CONFIG, "experience_uri": experience(tmp_path / "a", "A", 0), "idempotency_key": "first"}
    made = kubeflow.run_local(kubeflow.pipeline("initial"), first, tmp_path / "runs")
    (version,) = connect().models.versions("fundus")
    connect().models.set_alias("fundus", "champion", version.version)

    experiences = {"B": experience(tmp_path / "b", "B", 100), "C": experience(tmp_path / "c", "C", 200)}
    arguments = {"config": CONFIG, "experiences": json.dumps(experiences), "idempotency_key": "two"}
    done = kubeflow.run_local(kubeflow.pipeline("fleet"), arguments, tmp_path / "runs")

    assert "'promote'" not in done.outputs["outcomes"], "16 patients can promote nothing"
    assert done.outputs["outcomes"].count("'") == 4, "an outcome an instrument"
    taken = connect().ledger.entries("fundus", CHAMPION_TAKEN)
    assert [entry.key for entry in taken] == ["two-B", "two-C"]
    assert {entry.body["checksum"] for entry in taken} == {manifest.read(Path(made.outputs["bundle"])).checksum}
    bundles = [
        bundle.read(folder) for folder in sorted((tmp_path / "runs").glob("parfocal-fleet-*/*/retrain/challenger"))
    ]
    assert [one.instruments for one in bundles] == [("A", "B"), ("A", "C")]

    with pytest.raises(DataContractError) as raised:
        kubeflow.run_local(
            kubeflow.pipeline("initial"), {**first, "experience_uri": str(tmp_path / "none")}, tmp_path / "runs"
        )
    assert "step 'preprocess' failed" in raised.value.what, "and not the step that reports it"
    assert ends() == [
        ("parfocal-initial", "succeeded"),
        ("parfocal-fleet", "succeeded"),
        ("parfocal-initial", "failed"),
    ]
