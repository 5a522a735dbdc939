"""What every pod of every overlay must have, and must not."""

import copy
import re
from decimal import Decimal

import pytest
from manifests_kit import MANIFESTS, OVERLAYS, ROOT, Pod, built, kustomized, one, pods, problems, walk

PODS = [pytest.param(overlay, pod, id=f"{overlay}-{pod.name}") for overlay in OVERLAYS for pod in pods(overlay)]
every_pod = pytest.mark.parametrize(("overlay", "pod"), PODS)
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
"""What an API server takes (without exponents, which nobody here writes). The schemas say no more than "string"."""
SCALE = {"": Decimal(1), "m": Decimal("0.001")}
SCALE |= {unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}
SCALE |= {unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}


def quantity(text: object) -> Decimal:
    """Raises ValueError for what an API server would refuse."""
    found = QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(found[1]) * SCALE[found[2] or ""]


@pytest.mark.parametrize("text", ["100qq", "1 Gi", "", "1gi", "-1", 2, "1Kib"])
def test_a_quantity_that_an_api_server_refuses_is_noticed(text: object) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity(text)


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    assert [quantity(text) for text in ("250m", "2", "1.5Gi", "1k")] == [Decimal("0.25"), 2, 1610612736, 1000]


@every_pod
def test_pods_may_do_as_little_as_can_be(overlay: str, pod: Pod) -> None:
    assert problems(pod) == []


def test_a_privileged_container_is_noticed() -> None:
    pod = copy.deepcopy(pods("local")[0])
    pod.containers[0]["securityContext"] = {"privileged": True}
    assert len(problems(pod)) == 4


@every_pod
def test_no_image_is_the_latest(overlay: str, pod: Pod) -> None:
    for container in pod.containers:
        name, _, tag = container["image"].rpartition("/")[2].partition("@" if "@" in container["image"] else ":")
        assert name, container["image"]
        assert tag not in ("", "latest"), container["image"]


@every_pod
def test_every_container_says_what_it_needs_and_the_most_it_may_take(overlay: str, pod: Pod) -> None:
    for container in pod.containers:
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert requests.keys() == limits.keys() == {"cpu", "memory", "ephemeral-storage"}
        for name, wanted in requests.items():
            assert 0 < quantity(wanted) <= quantity(limits[name]), (container["name"], name)


@every_pod
def test_every_container_is_asked_whether_it_lives(overlay: str, pod: Pod) -> None:
    for container in pod.spec["containers"]:
        wanted = {"livenessProbe", "readinessProbe", "startupProbe"} if container.get("ports") else {"livenessProbe"}
        assert wanted <= container.keys(), container["name"]
        names = {port["name"] for port in container.get("ports", [])}
        for probe in wanted:
            where = container[probe].get("httpGet") or container[probe].get("tcpSocket") or {}
            assert where.get("port", next(iter(names), None)) in names or not names, (container["name"], probe)


@every_pod
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(overlay: str, pod: Pod) -> None:
    volumes = {volume["name"] for volume in pod.spec.get("volumes", [])} | pod.claims
    mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
    assert volumes == mounted
    objects = {(value["kind"], value["metadata"]["name"]) for value in built(overlay)}
    guide = re.findall(r"create configmap ([\w-]+)", (ROOT / "docs" / "cluster.md").read_text())
    for volume in pod.spec.get("volumes", []):
        if claim := volume.get("persistentVolumeClaim"):
            assert ("PersistentVolumeClaim", claim["claimName"]) in objects
        if config := volume.get("configMap"):
            assert ("ConfigMap", config["name"]) in objects or config["name"] in guide
        if "emptyDir" in volume:
            assert quantity(volume["emptyDir"]["sizeLimit"]) > 0
    room = sum(quantity(container["resources"]["limits"]["ephemeral-storage"]) for container in pod.spec["containers"])
    assert sum(quantity(v["emptyDir"]["sizeLimit"]) for v in pod.spec.get("volumes", []) if "emptyDir" in v) <= room


@every_pod
def test_accounts_and_priorities_are_there(overlay: str, pod: Pod) -> None:
    assert one(overlay, "PriorityClass", pod.spec["priorityClassName"])
    if account := pod.spec.get("serviceAccountName"):
        assert one(overlay, "ServiceAccount", account)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_leads_to_a_port_of_a_pod(overlay: str) -> None:
    services = [value for value in built(overlay) if value["kind"] == "Service"]
    assert {value["metadata"]["name"] for value in services} >= {"parfocal-segmenter", "parfocal-monitor"}
    for service in services:
        (pod,) = (pod for pod in pods(overlay) if service["spec"]["selector"].items() <= pod.labels.items())
        for port in service["spec"]["ports"]:
            assert pod.ports()[port["targetPort"]] == port["port"], service["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_quantity_is_one(overlay: str) -> None:
    for value in built(overlay):
        for inner in walk(value):
            for name in ("requests", "limits", "hard", "default", "defaultRequest"):
                if isinstance(inner.get(name), dict):
                    assert all(quantity(text) >= 0 for text in inner[name].values()), inner[name]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_quota_has_room_for_the_services_and_for_a_run(overlay: str) -> None:
    hard = one(overlay, "ResourceQuota", "parfocal")["spec"]["hard"]
    most = {"parfocal-segmenter": one(overlay, "HorizontalPodAutoscaler", "parfocal-segmenter")["spec"]["maxReplicas"]}
    for resource, learning in (("cpu", Decimal(8)), ("memory", quantity("16Gi"))):  # placement_cpu.yaml's training
        taken = sum(
            most.get(pod.name, 1) * quantity(container["resources"]["requests"][resource])
            for pod in pods(overlay)
            for container in pod.spec["containers"]
        )
        assert taken + learning <= quantity(hard[f"requests.{resource}"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_segmenter_is_replaced_without_losing_a_request(overlay: str) -> None:
    value = one(overlay, "Deployment", "parfocal-segmenter")["spec"]
    assert value["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    pod = value["template"]["spec"]
    told = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    drain, longest = float(told["PARFOCAL_DRAIN_SECONDS"]), float(told["PARFOCAL_SEGMENTER_TIMEOUT"])
    probe = pod["containers"][0]["readinessProbe"]
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]  # it has left the service before it closes
    assert pod["terminationGracePeriodSeconds"] >= drain + longest + 10
    budget = one(overlay, "PodDisruptionBudget", "parfocal-segmenter")["spec"]
    assert budget["selector"] == value["selector"]
    assert "replicas" not in value  # every `kubectl apply` would undo what the autoscaler did
    assert float(told["PARFOCAL_SEGMENTER_THREADS"]) <= quantity(pod["containers"][0]["resources"]["limits"]["cpu"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_monitor_writes(overlay: str) -> None:
    value = one(overlay, "Deployment", "parfocal-monitor")["spec"]
    assert (value["replicas"], value["strategy"]) == (1, {"type": "Recreate"})


def test_the_trigger_may_create_runs_and_nothing_else() -> None:
    role = one("production", "Role", "parfocal-trigger")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {group for group, _, _ in granted} == {"pipelines.kubeflow.org"}
    writes = {(resource, verb) for _, resource, verb in granted if verb not in ("get", "list")}
    assert writes == {("runs", "create")}
    bindings = [value for value in built("production") if value["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert [(value["kind"], value["roleRef"]["name"]) for value in bindings] == [("RoleBinding", "parfocal-trigger")]
    assert [subject["name"] for subject in bindings[0]["subjects"]] == ["parfocal-monitor"]


def test_its_token_is_good_for_kubeflow_pipelines_alone() -> None:
    (pod,) = (pod for pod in pods("production") if pod.name == "parfocal-monitor")
    tokens = [inner["serviceAccountToken"] for inner in walk(pod.spec) if "serviceAccountToken" in inner]
    assert [(token["audience"], token["path"]) for token in tokens] == [("pipelines.kubeflow.org", "token")]
    assert not [pod.name for pod in pods("local") if "serviceAccountToken" in str(pod.spec)]


def test_the_namespace_enforces_restricted() -> None:
    (namespace,) = kustomized(MANIFESTS / "namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
