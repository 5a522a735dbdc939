"""The network policies let through what some code asks for, and nothing else; each way by the file that goes it."""

import base64
import re
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml
from manifests_kit import MANIFESTS, OVERLAYS, ROOT, Pod, built, one, pods, selects

OUTSIDE = "outside"
RUN = Pod("run", "Pod", {"workflows.argoproj.io/workflow": "x"}, {"containers": []}, frozenset())
TRAINING = Pod("training", "Pod", {"jobset.sigs.k8s.io/jobset-name": "x"}, {"containers": []}, frozenset())
"""Pods that Argo and JobSet make, by the labels that they give them."""


class Flow(NamedTuple):
    """Who asks whom on which port."""

    source: str
    target: str
    port: int | str


class Way(NamedTuple):
    """A flow that crosses the namespace's border, and the code or the setting that needs it."""

    flow: Flow
    file: str
    says: str


WAYS = {
    "local": (),
    "production": (
        Way(Flow("monitor", "kubeflow", 8888), "manifests/kubeflow/monitor.yaml", "ml-pipeline.kubeflow.svc"),
        Way(Flow("monitor", OUTSIDE, 5432), "src/parfocal/adapters/settings.py", "PARFOCAL_DATABASE_URL"),
        Way(Flow("mlflow", OUTSIDE, 5432), "manifests/base/mlflow/deployment.yaml", "MLFLOW_BACKEND_STORE_URI"),
        Way(Flow("mlflow", OUTSIDE, 443), "manifests/base/mlflow/deployment.yaml", "MLFLOW_ARTIFACTS_DESTINATION"),
        Way(Flow("run", OUTSIDE, 5432), "pipelines/placement.py", "PARFOCAL_DATABASE_URL"),
        Way(Flow("run", "kubeflow", "any"), "manifests/kubeflow/network.yaml", "Kubeflow's own services"),
        Way(Flow("run", OUTSIDE, 443), "manifests/kubeflow/network.yaml", "the Kubernetes API"),
        Way(Flow("run", OUTSIDE, 6443), "manifests/kubeflow/network.yaml", "the Kubernetes API"),
        Way(Flow("monitoring", "segmenter", 3000), "manifests/monitoring/scrape.yaml", "name: parfocal-segmenter"),
        Way(Flow("monitoring", "monitor", 8081), "manifests/monitoring/scrape.yaml", "name: parfocal-monitor"),
    ),
}  # fmt: skip
WAYS["production+trainjobs"] = WAYS["production"]  # of Kubernetes' API a run may ask in any case: Argo does
NODE = "169.254.20.10/32"
"""Kubernetes' address of the cache of names on a pod's own node (NodeLocal DNSCache)."""
NAMES = ("kube-system", NODE)
CLINICS = {Flow("clients", "segmenter", 3000), Flow("clients", "monitor", 8081)}
RUNS = {Flow("run", "mlflow", 5000)}
"""MLFLOW_TRACKING_URI of the ConfigMap that pipelines/placement.py hands to every step."""
TRAININGS = {Flow("training", "mlflow", 5000), Flow("training", "training", "any")}
"""The same address, which kubeflow_trainjob.PASSED hands on; torchrun, gloo and NCCL among their own."""
MADE = {
    "local": ((), set()),
    "production": ((RUN, TRAINING), RUNS),
    "production+trainjobs": ((RUN, TRAINING), RUNS | TRAININGS),
}
"""Pods that others make in an overlay, and whom they ask. Without the component a training reaches nobody."""


def everybody(overlay: str) -> list[Pod]:
    return [*pods(overlay), *MADE[overlay][0]]


def short(pod: Pod) -> str:
    return pod.name.removeprefix("parfocal-")


def policies(overlay: str) -> list[dict[str, Any]]:
    return [value["spec"] for value in built(overlay) if value["kind"] == "NetworkPolicy"]


def number(port: dict[str, Any], pod: Pod) -> int:
    return pod.ports()[port["port"]] if isinstance(port["port"], str) else port["port"]


def opened(overlay: str, direction: str, pod: Pod, other: Pod | None, target: Pod) -> set[int | str]:
    """Ports that one side's policies open towards another pod."""
    rules = [
        r for p in policies(overlay) if selects(p["podSelector"], pod.labels) for r in p.get(direction.lower(), [])
    ]
    ports: set[int | str] = set()
    for rule in rules:
        peers = rule.get({"Ingress": "from", "Egress": "to"}[direction], [])
        for peer in peers:
            if other and "namespaceSelector" not in peer and other.selected(peer.get("podSelector", {})):
                own = [
                    n for n in rule.get("ports", []) if not isinstance(n["port"], str) or n["port"] in target.ports()
                ]
                ports |= {number(port, target) for port in own} if rule.get("ports") else {"any"}
    return ports


def inside(overlay: str) -> set[Flow]:
    """What passes between pods of the namespace: what the one may send and the other may receive."""
    found = set()
    for source, target in product(everybody(overlay), repeat=2):
        sent = opened(overlay, "Egress", source, target, target)
        taken = opened(overlay, "Ingress", target, source, target)
        found |= {Flow(short(source), short(target), port) for port in sent & taken}
    return found


def across(overlay: str) -> set[Flow]:
    """What passes the namespace's border, DNS apart."""
    found = set()
    for pod, policy in product(everybody(overlay), policies(overlay)):
        if not selects(policy["podSelector"], pod.labels):
            continue
        for direction, key in (("ingress", "from"), ("egress", "to")):
            for rule in policy.get(direction, []):
                for name in border(rule.get(key)):
                    ports = [number(port, pod) for port in rule.get("ports", [])] or ["any"]
                    ends = (short(pod), name) if direction == "egress" else (name, short(pod))
                    found |= {Flow(*ends, port) for port in ports}
    return {flow for flow in found if flow.target not in NAMES}


def border(peers: list[dict[str, Any]] | None) -> list[str]:
    if not peers:
        return [OUTSIDE]
    names = []
    for peer in peers:
        if "ipBlock" in peer:
            names.append(NODE if peer["ipBlock"]["cidr"] == NODE else OUTSIDE)
        elif labels := peer.get("namespaceSelector", {}).get("matchLabels"):
            names.append(labels.get("kubernetes.io/metadata.name", "clients"))
    return names


def asked(overlay: str) -> set[Flow]:
    """What the pods are told to ask: every address in their environment that is a service of this namespace."""
    services = {value["metadata"]["name"]: value for value in built(overlay) if value["kind"] == "Service"}
    found = set()
    for pod in pods(overlay):
        for container, entry in ((c, e) for c in pod.containers for e in c.get("env", [])):
            parsed = urlsplit(value_of(overlay, entry))
            if parsed.hostname in services:
                (target,) = (
                    p
                    for p in pods(overlay)
                    if services[parsed.hostname]["spec"]["selector"].items() <= p.labels.items()
                )
                assert parsed.port in target.ports().values(), container["name"]
                found.add(Flow(short(pod), short(target), parsed.port))
    return found


def value_of(overlay: str, entry: dict[str, Any]) -> str:
    if reference := entry.get("valueFrom", {}).get("configMapKeyRef"):
        return one(overlay, "ConfigMap", reference["name"])["data"][reference["key"]]
    if (reference := entry.get("valueFrom", {}).get("secretKeyRef")) and overlay == "local":
        return base64.b64decode(one(overlay, "Secret", reference["name"])["data"][reference["key"]]).decode()
    return str(entry.get("value", ""))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_of_the_namespace_reach_whom_they_ask_and_nobody_else(overlay: str) -> None:
    assert inside(overlay) == asked(overlay) | MADE[overlay][1]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_crosses_the_border_is_known(overlay: str) -> None:
    assert across(overlay) == {way.flow for way in WAYS[overlay]} | CLINICS
    for way in WAYS[overlay]:
        assert way.says in (ROOT / way.file).read_text(), way


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_else_is_denied(overlay: str) -> None:
    spec = one(overlay, "NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for value in built(overlay):
        if value["kind"] == "NetworkPolicy" and value["metadata"]["name"] != "default-deny":
            kinds = set(value["spec"]["policyTypes"])
            assert {kind for kind in ("Ingress", "Egress") if kind.lower() in value["spec"]} <= kinds


def test_mlflow_is_asked_by_a_name_that_it_answers_to() -> None:
    container = one("production", "Deployment", "parfocal-mlflow")["spec"]["template"]["spec"]["containers"][0]
    (hosts,) = (word.partition("=")[2].split(",") for word in container["args"] if word.startswith("--allowed-hosts"))
    address = one("production", "ConfigMap", "parfocal")["data"]["MLFLOW_TRACKING_URI"]
    assert urlsplit(address).netloc in hosts


def test_the_webhook_goes_to_the_monitor() -> None:
    config = yaml.safe_load((MANIFESTS / "monitoring" / "alertmanager_config.yaml").read_text())
    (url,) = (hook["url"] for receiver in config["spec"]["receivers"] for hook in receiver.get("webhookConfigs", []))
    parsed = urlsplit(url)
    name, namespace = re.fullmatch(r"([\w-]+)\.([\w-]+)\.svc", parsed.hostname or "").groups()
    service = one("production", "Service", name)
    assert service["metadata"]["namespace"] == namespace
    assert parsed.port == service["spec"]["ports"][0]["port"]
    assert parsed.path == "/alerts"
