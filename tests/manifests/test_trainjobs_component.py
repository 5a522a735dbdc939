"""Trainings on several nodes: what the component gives the runs is what the step that asks for a TrainJob does."""

import copy
import time
from pathlib import Path
from typing import Any

import api_server_kit
import data_kit
import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api import models
from manifests_kit import MANIFESTS, Pod, built, one, problems
from parfocal_pipelines.placement import load

from parfocal.adapters import cluster_rights, cluster_trainings, kubeflow, kubeflow_lost, kubeflow_pods
from parfocal.adapters.kubeflow_trainer import TrainJobExecutor
from parfocal.adapters.kubeflow_trainjob import CONTAINER, TrainJobSettings, described
from parfocal.core.protocols import Work
from parfocal.steps.elsewhere import JOB

OVERLAY = "production+trainjobs"
GROUP = "trainer.kubeflow.org"
DONE = {
    kind: (verb, GROUP, "trainjobs") for kind, verb in {
        "create": "create", "get": "get", "list": "list", "watch": "watch", "delete": "delete", "patch": "patch",
    }.items()
} | {"pods": ("list", "", "pods"), "log": ("get", "", "pods/log")}  # fmt: skip
"""What the stand-in of an API server notes, as RBAC calls it."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> TrainJobSettings:
    """As a step of a run reads them: from the ConfigMap, through the placement."""
    config = one(OVERLAY, "ConfigMap", "parfocal")["data"]
    for key in load("trainjob").platform.config_keys:
        monkeypatch.setenv(key, config[key])
    return TrainJobSettings(namespace="parfocal")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    folders = (tmp_path / "a", tmp_path / "out")
    return Work("train", tuple(map(str, folders)), folders, "{}", "k", 2, None, tmp_path)


def test_every_key_of_the_component_reaches_the_runs_and_is_read() -> None:
    (config,) = (
        said["literals"]
        for said in yaml.safe_load((MANIFESTS / "trainjobs" / "kustomization.yaml").read_text())["configMapGenerator"]
    )
    keys = {literal.partition("=")[0] for literal in config}
    platform = load("trainjob").platform
    assert set(platform.config_keys) == keys | set(load("gpu").platform.config_keys)
    assert keys <= {str(field.validation_alias) for field in TrainJobSettings.model_fields.values()}
    before = one("production", "ConfigMap", "parfocal")["data"]
    assert one(OVERLAY, "ConfigMap", "parfocal")["data"].items() >= before.items(), "what was there is still there"


def test_what_the_runs_are_told_is_there(settings: TrainJobSettings) -> None:
    assert one(OVERLAY, settings.runtime_kind, settings.runtime)
    assert one(OVERLAY, "ServiceAccount", settings.account)["automountServiceAccountToken"] is False
    assert (settings.node.accelerator, settings.node.node_selector) == ("nvidia.com/gpu", {"parfocal.dev/pool": "gpu"})
    assert str(settings.mount) == load("trainjob").platform.mount
    assert one(OVERLAY, "PersistentVolumeClaim", settings.claim)


def test_a_compiled_step_finds_every_key(tmp_path: Path) -> None:
    kubeflow.compile_all(tmp_path, "trainjob")
    _, platform = yaml.safe_load_all((tmp_path / "pipelines" / "initial" / "pipeline.yaml").read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    (config,) = executors["exec-train"]["configMapAsEnv"]
    assert {key["configMapKey"] for key in config["keyToEnv"]} == set(load("trainjob").platform.config_keys)


def test_a_step_that_watches_waits_for_all_jobs_that_may_be_lost(settings: TrainJobSettings) -> None:
    assert settings.seconds
    pauses = kubeflow_lost.BACKOFF_SECONDS * (2**settings.retries - 1)
    placed = load("trainjob")
    for step in (placed.train, placed.retrain):
        assert not step.accelerator, "the job's nodes have them"
        assert step.timeout_seconds > (settings.retries + 1) * settings.seconds + pauses


def granted() -> set[tuple[str, str, str]]:
    role = one(OVERLAY, "Role", "parfocal-trainjobs")
    return {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_runs_may_do_what_a_step_does_and_nothing_else(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is watched while it asks: of a job that failed, one that lost a node, one that ends well."""
    monkeypatch.setattr(kubeflow_lost, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(kubeflow_pods, "LOOK_SECONDS", 0.1)
    ends = ["Failed", "Complete"]
    with api_server_kit.api_server() as server:

        def run(job: dict[str, Any]) -> None:
            pod = server.pod(job["metadata"]["name"], 0)
            server.write(pod, "at work")
            until = time.monotonic() + 60
            while server.unheard and time.monotonic() < until:
                time.sleep(0.02)
            server.pods[pod]["status"]["phase"] = "Failed"
            server.condition(job["metadata"]["name"], ends.pop(0))

        server.created = run
        monkeypatch.setenv("KUBECONFIG", str(api_server_kit.kubeconfig(tmp_path / "kubeconfig", server)))
        settings = TrainJobSettings(image="components@sha256:0", mount=tmp_path, namespace="parfocal")
        TrainJobExecutor(settings).execute(work, data_kit.Notes())
    assert not ends
    assert granted() == {DONE[kind] for kind in set(server.asked)}
    assert granted() == {(right.verb, right.group, right.resource) for right in cluster_trainings.ASKED}


def test_the_account_of_the_runs_has_the_role_and_the_monitor_has_not() -> None:
    bindings = [value for value in built(OVERLAY) if value["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    held = {value["roleRef"]["name"]: [subject["name"] for subject in value["subjects"]] for value in bindings}
    assert held == {"parfocal-trigger": ["parfocal-monitor"], "parfocal-trainjobs": [cluster_rights.RUNNER]}
    monitor = one(OVERLAY, "Deployment", "parfocal-monitor")["spec"]["template"]["spec"]["containers"][0]
    told = {entry["name"]: entry.get("value") for entry in monitor["env"]}
    assert told["PARFOCAL_KFP_SERVICE_ACCOUNT"] == cluster_rights.RUNNER


def runtime() -> dict[str, Any]:
    return one(OVERLAY, "TrainingRuntime", "parfocal-torch")


def test_the_runtime_is_one_that_trainer_knows() -> None:
    """Its models drop what they do not know: what comes back must be what went in."""
    value = runtime()
    assert models.TrainerV1alpha1TrainingRuntime.from_dict(value).to_dict() == value
    (job,) = value["spec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == CONTAINER
    for version in ("1.30", "1.37"):
        named = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job["template"]["spec"]}
        kubernetes_validate.validate(named, version, strict=True)


def by_name(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], key: str = "name") -> list[dict[str, Any]]:
    """Two lists as a strategic merge makes them one; `key` is Kubernetes' own for that list."""
    made = {one[key]: copy.deepcopy(one) for one in ours}
    for one_ in theirs:
        made[one_[key]] = merged(made.get(one_[key], {}), one_)
    return list(made.values())


def merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    made = dict(ours)
    for key, value in theirs.items():
        if key == "volumeMounts":
            made[key] = by_name(made.get(key, []), value, "mountPath")
        elif key in ("containers", "volumes"):
            made[key] = by_name(made.get(key, []), value)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


def test_a_pod_of_a_job_may_do_as_little_as_can_be(
    settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime's pod with the job's patch and its trainer, as Trainer puts them together."""
    monkeypatch.delenv(JOB, raising=False)
    job = described(work, settings)
    (patch,) = job["spec"]["runtimePatches"]
    (patched,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    (ours,) = runtime()["spec"]["template"]["spec"]["replicatedJobs"]
    spec = merged(ours["template"]["spec"]["template"]["spec"], patched["template"]["spec"]["template"]["spec"])
    trainer = job["spec"]["trainer"]
    (container,) = spec["containers"]
    container |= {key: trainer[key] for key in ("image", "command", "args", "env")}
    container["resources"] = trainer["resourcesPerNode"]
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(value, "1.37", strict=True)
    assert problems(Pod("x", "Pod", {}, spec, frozenset())) == []
    assert spec["restartPolicy"] == "Never" and ours["template"]["spec"]["backoffLimit"] == 0, "one place counts"
    assert {volume["name"] for volume in spec["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert one(OVERLAY, "PriorityClass", spec["priorityClassName"])["value"] < 0, "it gives way to who answers clinics"
    assert container["image"] == one(OVERLAY, "ConfigMap", "parfocal")["data"]["PARFOCAL_IMAGE"]
