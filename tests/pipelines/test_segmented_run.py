"""The pipeline `segmented` as its compiled YAML says: masks of a folder, with what could not be read told apart."""

import json
from pathlib import Path

import data_kit
import learning_kit
import pytest

from parfocal.adapters import connect, kubeflow
from parfocal.core import manifest
from parfocal.steps.config import RunConfig
from parfocal.steps.report_end import RUN_ENDED


def test_a_folder_with_masks_beside_it_is_drawn_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    model = learning_kit.first(tmp_path, "train.steps=4", "train.validate_every=4")
    photos = data_kit.source(tmp_path / "photos", ["x", "y", "z"], seed=9)
    (photos / "images" / "y.png").write_bytes(b"no picture")
    asked = {"post": {"steps": ["largest", "holes", "ellipse"]}, "known": [{"name": "*", "eye": "right"}]}
    arguments = {
        "config": RunConfig.parse({"segment": asked}).canonical_json(),
        "experience_uri": str(photos),
        "champion_uri": str(model),
        "idempotency_key": "few",
    }
    run = kubeflow.run_local(kubeflow.pipeline("segmented"), arguments, tmp_path / "runs")
    made = Path(run.outputs["segmentation"])
    assert manifest.verify(made, "segmentation").parents[0].checksum == manifest.read(model).checksum
    assert {file.name for file in made.glob("*.png")} == {f"{n}-{s}.png" for n in "xz" for s in ("disc", "cup")}
    assert [Path(one["file"]).name for one in json.loads((made / "problems.json").read_text())] == ["y.png"]
    assert "ellipse" in (made / "postprocessing.csv").read_text()
    assert (made / "cases.csv").read_text().count("right") == 2
    assert Path(run.outputs["report"]).read_text() == (made / "report.html").read_text()
    assert Path(run.outputs["summary"]).read_text() == (made / "summary.md").read_text()
    (ended,) = connect().ledger.entries("fundus", RUN_ENDED)
    assert (ended.body["pipeline"], ended.body["key"], ended.body["state"]) == (
        "parfocal-segmented",
        "few",
        "succeeded",
    )
