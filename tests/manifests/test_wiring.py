"""What pods are told exists in the code, and what the code needs it is told: commands, variables, keys, volumes."""

import base64
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from manifests_kit import OVERLAYS, ROOT, Pod, built, one, pods
from parfocal_pipelines.placement import load
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.adapters.kubeflow_remote import KubeflowSettings
from parfocal.adapters.local_services import SERVICES, Place
from parfocal.adapters.settings import Settings
from parfocal.adapters.tokens import Tokens

SETTINGS = (Settings, SegmenterSettings, MonitorSettings, KubeflowSettings)
ELSEWHERE = {
    "MLFLOW_": ("mlflow", "mlflow/environment_variables.py", "mlflow/cli/__init__.py"),
    "BENTOML_": (
        "bentoml", "bentoml/_internal/configuration/containers.py", "bentoml/_internal/utils/analytics/usage_stats.py",
    ),
    "AWS_": ("mlflow", "mlflow/store/artifact/s3_artifact_repo.py"),
}  # fmt: skip
"""Prefix of a variable that is somebody else's to the files of theirs that read it."""
IMAGES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA"}
"""Of the image postgres (its page on Docker Hub)."""
PODS = [pytest.param(overlay, pod, id=f"{overlay}-{pod.name}") for overlay in OVERLAYS for pod in pods(overlay)]
every_pod = pytest.mark.parametrize(("overlay", "pod"), PODS)


def known() -> set[str]:
    return {str(field.validation_alias) for one in SETTINGS for field in one.model_fields.values()}


def is_elsewhere(name: str) -> bool:
    for prefix, (package, *files) in ELSEWHERE.items():
        if name.startswith(prefix):
            found = metadata.distribution(package)
            return any(name in Path(str(found.locate_file(file))).read_text() for file in files)
    return False


@every_pod
def test_every_variable_is_read_by_some_code(overlay: str, pod: Pod) -> None:
    for container in pod.containers:
        for entry in container.get("env", []):
            assert entry["name"] in known() | IMAGES or is_elsewhere(entry["name"]), entry["name"]


def test_a_variable_that_nothing_reads_is_noticed() -> None:
    assert not is_elsewhere("MLFLOW_ALLOWED_HOSTZ")
    assert "PARFOCAL_SEGMENTER_THREAD" not in known()


def told(overlay: str, container: dict[str, Any]) -> dict[str, str]:
    """The environment of a container; what only a cluster knows stands as `x`, and PostgreSQL's address as one."""
    values = {}
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if reference := source.get("configMapKeyRef"):
            values[entry["name"]] = one(overlay, "ConfigMap", reference["name"])["data"][reference["key"]]
        else:
            values[entry["name"]] = entry.get("value", "x")
    return values


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize(("name", "kind"), [("segmenter", SegmenterSettings), ("monitor", MonitorSettings)])
def test_the_services_take_what_they_are_told(
    monkeypatch: pytest.MonkeyPatch, overlay: str, name: str, kind: type[Settings]
) -> None:
    container = one(overlay, "Deployment", f"parfocal-{name}")["spec"]["template"]["spec"]["containers"][0]
    for variable, value in told(overlay, container).items():
        monkeypatch.setenv(variable, value)
    settings = kind()
    assert settings.token and settings.task == "fundus"
    assert settings.state == Path("/var/lib/parfocal/state")
    if isinstance(settings, MonitorSettings):
        assert settings.launcher == ("local" if overlay == "local" else "kubeflow")
        assert settings.database_url
        assert bool(KubeflowSettings().token_file) is (overlay != "local")


@every_pod
def test_every_key_that_is_referred_to_is_there_or_in_the_guide(overlay: str, pod: Pod) -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text()
    kinds = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
    objects = {(value["kind"], value["metadata"]["name"]): value for value in built(overlay)}
    for container in pod.containers:
        for entry in container.get("env", []):
            for source, reference in entry.get("valueFrom", {}).items():
                if source == "secretKeyRef" and overlay != "local":
                    assert f"| `{reference['name']}` | `{reference['key']}` |" in guide
                elif source in kinds:
                    assert reference["key"] in objects[kinds[source], reference["name"]]["data"], entry["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["segmenter", "monitor"])
def test_both_services_read_the_tokens_of_one_secret(overlay: str, name: str) -> None:
    spec = one(overlay, "Deployment", f"parfocal-{name}")["spec"]["template"]["spec"]
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "tokens")
    assert volume["secret"] == {
        "secretName": "parfocal-tokens",
        "defaultMode": 0o440,
    }  # more is refused by the services
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "tokens")
    assert told(overlay, spec["containers"][0])["PARFOCAL_TOKENS"] == f"{mount['mountPath']}/tokens.json"
    assert "subPath" not in mount


def test_the_local_token_lets_in(tmp_path: Path) -> None:
    content = base64.b64decode(one("local", "Secret", "parfocal-tokens")["data"]["tokens.json"])
    holder = Tokens.model_validate_json(content).holder("pf_10ca1000_local-only", datetime.now(UTC))
    assert holder and set(holder.roles) == {"segment", "annotate", "operate"}


def test_the_guide_asks_for_no_secret_that_nothing_reads() -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text()
    asked = set(re.findall(r"^\| `(parfocal[\w-]*)` \| `([\w.]+)`", guide, re.MULTILINE))
    read = {("parfocal-tokens", "tokens.json")} | {
        (entry["valueFrom"]["secretKeyRef"]["name"], entry["name"])
        for pod in pods("production")
        for container in pod.containers
        for entry in container.get("env", [])
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    assert asked == read


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pipelines_find_their_volume_and_addresses(overlay: str) -> None:
    platform = load("gpu").platform
    assert one(overlay, "PersistentVolumeClaim", platform.claim)
    config = one(overlay, "ConfigMap", platform.config_map)["data"]
    assert set(platform.config_keys) <= config.keys()
    keys = {("parfocal", key) for key in platform.secret_keys}
    guide = (ROOT / "docs" / "cluster.md").read_text()
    assert all(f"| `{secret}` | `{key}`" in guide for secret, key in keys)
    assert platform.secret == "parfocal"
    monitor = one(overlay, "Deployment", "parfocal-monitor")["spec"]["template"]["spec"]["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in monitor["volumeMounts"]}
    assert mounts["shared"] == platform.mount  # an experience's folder is the same word here and there
    assert config["PARFOCAL_STATE"].startswith(f"{platform.mount}/")
    assert config["PARFOCAL_SHARED"].startswith(f"{platform.mount}/")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize(("workload", "container"), [
    ("segmenter", "segmenter"), ("segmenter", "follower"), ("monitor", "monitor"), ("monitor", "follower"),
])  # fmt: skip
def test_pods_start_what_one_machine_starts(tmp_path: Path, overlay: str, workload: str, container: str) -> None:
    """The commands of `parfocal up`, which tests run for real; address and port apart."""
    place = Place(Settings(state=tmp_path), {"segmenter": 3000, "monitor": 8081}, host="0.0.0.0")
    (service,) = (service for service in SERVICES if service.name == container)
    spec = one(overlay, "Deployment", f"parfocal-{workload}")["spec"]["template"]["spec"]
    (found,) = (one for one in spec["containers"] if one["name"] == container)
    words = [*found["command"], *found.get("args", [])]
    assert words[1:] == list(service.command(place))[1:]
    assert words[0] == "python"
    for probe in ("livenessProbe", "readinessProbe"):
        if found.get("ports"):
            assert (
                found[probe]["httpGet"]["path"] == {"livenessProbe": service.live, "readinessProbe": "/readyz"}[probe]
            )
