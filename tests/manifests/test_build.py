"""Every overlay builds into objects that an API server knows, field by field, and that are about the same things."""

import base64
import copy
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from manifests_kit import MANIFESTS, MONITORING, OVERLAYS, built, kustomized, one, pods
from manifests_resources_kit import SPECS, check
from pydantic import ValidationError

VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that the guide names, and the newest with a schema."""


def is_custom(value: dict[str, Any]) -> bool:
    return (value["apiVersion"], value["kind"]) in SPECS


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_has_the_fields_of_its_kind_and_no_others(overlay: str, version: str) -> None:
    for value in built(overlay):
        if not is_custom(value):
            kubernetes_validate.validate(value, version, strict=True)


def test_a_misspelt_field_is_noticed() -> None:
    value = copy.deepcopy(one("local", "Deployment", "parfocal-monitor"))
    value["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(value, VERSIONS[-1], strict=True)


def test_custom_resources_have_the_fields_of_their_definition_and_no_others() -> None:
    found = [value for value in built("production+trainjobs") if is_custom(value)]
    found.append(yaml.safe_load((MANIFESTS / "kubeflow" / "profile.yaml").read_text()))
    assert {value["kind"] for value in found} == {kind for _, kind in SPECS}
    for value in found:
        check(value)


def test_an_unknown_field_of_a_custom_resource_is_noticed() -> None:
    value = copy.deepcopy(one("production", "AlertmanagerConfig", "parfocal"))
    value["spec"]["route"]["group_by"] = ["alertname"]
    with pytest.raises(ValidationError, match="group_by"):
        check(value)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_object_is_there_twice_and_all_are_in_one_namespace(overlay: str) -> None:
    objects = built(overlay)
    names = [(value["apiVersion"], value["kind"], value["metadata"]["name"]) for value in objects]
    assert len(set(names)) == len(names)
    cluster = {"Namespace", "PriorityClass"}
    assert {value["metadata"].get("namespace") for value in objects if value["kind"] not in cluster} == {"parfocal"}


def test_deleting_what_a_shared_cluster_runs_leaves_its_namespace_and_secrets() -> None:
    kinds = {value["kind"] for value in built("production")}
    assert not kinds & {"Namespace", "Secret", "Profile"}
    (namespace,) = kustomized(MANIFESTS / "namespace")
    assert namespace == one("local", "Namespace", "parfocal")
    assert {value["metadata"].get("namespace", "parfocal") for value in built("production")} == {"parfocal"}


def test_the_local_overlay_needs_nothing_that_a_fresh_cluster_lacks() -> None:
    assert not [value["kind"] for value in built("local") if is_custom(value)]


def test_the_prometheus_rule_is_made_from_the_rules() -> None:
    spec = importlib.util.spec_from_file_location("prometheus_rule", MANIFESTS / "prometheus_rule.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.OUT.read_text() == module.render(), "run `python manifests/prometheus_rule.py`"
    made = one("production", "PrometheusRule", "parfocal")
    alerts = yaml.safe_load((MONITORING / "rules" / "parfocal.yaml").read_text())["groups"]
    assert [len(group["rules"]) for group in made["spec"]["groups"]] == [len(group["rules"]) for group in alerts]
    assert {rule["labels"]["namespace"] for group in made["spec"]["groups"] for rule in group["rules"]} == {
        made["metadata"]["namespace"]
    }


def test_the_dashboard_goes_to_grafana_as_it_is() -> None:
    made = one("production", "ConfigMap", "parfocal-dashboard")
    assert made["data"]["parfocal.json"] == (MONITORING / "dashboards" / "parfocal.json").read_text()
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_images_have_this_version_or_a_digest() -> None:
    from parfocal import __version__

    ours = {image for pod in pods("local") for c in pod.containers if (image := c["image"]).startswith("parfocal/")}
    assert {image.rsplit(":", 1)[1] for image in ours} == {__version__}
    assert {image.rsplit(":", 1)[0] for image in ours} == {
        "parfocal/serving", "parfocal/components", "parfocal/mlflow",
    }  # fmt: skip
    images = [container["image"] for pod in pods("production") for container in pod.containers]
    images.append(one("production", "ConfigMap", "parfocal")["data"]["PARFOCAL_IMAGE"])
    assert all(re.fullmatch(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}", image) for image in images), images


def test_production_brings_no_secret_database_or_object_store() -> None:
    kinds = {value["kind"] for value in built("production")}
    assert not kinds & {"Secret", "StatefulSet", "Ingress"}


def test_photographs_are_captured_where_the_monitor_looks_for_them(tmp_path: Path) -> None:
    """The component that nobody has unless they add it."""
    said = {"resources": ["overlays/production"], "components": ["capture"]}
    paths = {
        kind: [os.path.relpath(MANIFESTS / one, tmp_path.resolve()) for one in names] for kind, names in said.items()
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(paths))
    objects = kustomized(tmp_path)
    (deployment,) = (
        value for value in objects if (value["kind"], value["metadata"]["name"]) == ("Deployment", "parfocal-segmenter")
    )
    kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    told = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert 0 < float(told["PARFOCAL_CAPTURE"]) < 1
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "shared")
    assert mount["mountPath"] == f"{told['PARFOCAL_STATE']}/captured"
    config = one("production", "ConfigMap", "parfocal")["data"]
    assert (
        f"/var/lib/parfocal/{mount['subPath']}" == f"{config['PARFOCAL_STATE']}/captured"
    )  # the claim, as the monitor sees it


def test_the_local_object_store_knows_whom_mlflow_says_it_is() -> None:
    store = json.loads(base64.b64decode(one("local", "Secret", "s3")["data"]["s3.json"]))
    secret = one("local", "Secret", "parfocal-mlflow")["data"]
    known = {"accessKey": "AWS_ACCESS_KEY_ID", "secretKey": "AWS_SECRET_ACCESS_KEY"}
    assert store["identities"][0]["credentials"] == [
        {name: base64.b64decode(secret[key]).decode() for name, key in known.items()}
    ]
