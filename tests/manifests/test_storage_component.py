"""The component that puts what runs read into an object store, which nobody has unless they add it."""

import os
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifests_kit import MANIFESTS, kustomized
from parfocal_pipelines.placement import Placements
from parfocal_serving.monitor.settings import MonitorSettings


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_monitor_is_told_the_storage_and_may_go_there(tmp_path: Path, overlay: str) -> None:
    said = {"resources": [f"overlays/{overlay}"], "components": ["storage"]}
    paths = {
        kind: [os.path.relpath(MANIFESTS / one, tmp_path.resolve()) for one in names] for kind, names in said.items()
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({**paths, "namespace": "parfocal"}))
    objects = {(value["kind"], value["metadata"]["name"]): value for value in kustomized(tmp_path)}
    for value in (objects["Deployment", "parfocal-monitor"], objects["NetworkPolicy", "storage"]):
        kubernetes_validate.validate(value, "1.37", strict=True)
        assert value["metadata"]["namespace"] == "parfocal"
    pod = objects["Deployment", "parfocal-monitor"]["spec"]["template"]
    (container,) = (one for one in pod["spec"]["containers"] if one["name"] == "monitor")
    sources = {entry["name"]: entry.get("valueFrom", {}) for entry in container["env"]}
    config = objects["ConfigMap", "parfocal"]["data"]
    key = sources[str(MonitorSettings.model_fields["storage"].validation_alias)]["configMapKeyRef"]["key"]
    assert config[key].startswith("s3://")
    assert config["PARFOCAL_SHARED"], "what was there is still there"
    assert sources["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["optional"], "a pod may have an identity instead"
    chosen = objects["NetworkPolicy", "storage"]["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= pod["metadata"]["labels"].items()


def test_the_placement_in_the_guide_hands_the_runs_the_same_keys() -> None:
    guide = (MANIFESTS.parent / "pipelines" / "README.md").read_text()
    text = guide.split("## Storage")[1].split("```yaml")[1].split("```")[0]
    platform = Placements.parse(yaml.safe_load(text)).platform
    assert set(Placements().platform.config_keys) | {"PARFOCAL_STORAGE"} <= set(platform.config_keys)
    monitor = yaml.safe_load((MANIFESTS / "storage" / "monitor.yaml").read_text())
    (container,) = monitor["spec"]["template"]["spec"]["containers"]
    assert {entry["name"] for entry in container["env"]} <= {*platform.config_keys, *platform.secret_keys}
