"""Placement shows in the compiled platform spec; a cluster reads nothing else."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from parfocal_pipelines import placement

from parfocal.adapters import kubeflow
from parfocal.core.errors import UsageError
from parfocal.core.reporting import JsonLines
from parfocal.steps import preprocess
from parfocal.steps.config import RunConfig

LEARNS = {"initial": "train", "continual": "retrain"}


class Spec:
    """A compiled pipeline, step by step."""

    def __init__(self, file: Path) -> None:
        self.spec, platform = yaml.safe_load_all(file.read_text())
        self._platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        inside = self.spec["components"][f"comp-{self.spec['pipelineInfo']['name']}-steps"]["dag"]["tasks"]
        self._tasks = {"report-end": self.spec["root"]["dag"]["tasks"]["report-end"], **inside}

    @property
    def steps(self) -> list[str]:
        return [name for name in self._tasks if not name.startswith("importer")]

    def task(self, step: str) -> Any:
        return self._tasks[step]

    def resources(self, step: str) -> Any:
        return self.spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["resources"]

    def platform(self, step: str) -> Any:
        return self._platform[f"exec-{step}"]


@pytest.fixture(scope="module", params=sorted(LEARNS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gpu(name: str) -> Spec:
    return Spec(kubeflow.pipeline(name))


@pytest.fixture(scope="module")
def cpu(name: str, tmp_path_factory: pytest.TempPathFactory) -> Spec:
    out = tmp_path_factory.mktemp("cpu")
    kubeflow.compile_all(out, "cpu")
    return Spec(out / "pipelines" / name / "pipeline.yaml")


def test_the_learning_step_asks_for_a_gpu_on_the_gpu_pool(name: str, gpu: Spec) -> None:
    step = LEARNS[name]
    accelerator = gpu.resources(step)["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    platform = gpu.platform(step)
    assert platform["nodeSelector"]["labels"] == {"parfocal.dev/pool": "gpu"}
    assert platform["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_the_learning_step_has_shared_memory_in_memory(name: str, gpu: Spec) -> None:
    (mount,) = gpu.platform(LEARNS[name])["emptyDirMounts"]
    assert {key: mount[key] for key in ("mountPath", "medium", "sizeLimit")} == {
        "mountPath": "/dev/shm",
        "medium": "Memory",
        "sizeLimit": "4Gi",
    }


def test_no_other_step_takes_a_gpu(name: str, gpu: Spec) -> None:
    for step in set(gpu.steps) - {LEARNS[name]}:
        assert "accelerator" not in gpu.resources(step)
        assert "nodeSelector" not in gpu.platform(step)


def test_every_step_is_bounded_retried_and_never_cached(gpu: Spec, cpu: Spec) -> None:
    for spec in (gpu, cpu):
        assert len(spec.steps) == 5
        for step in spec.steps:
            assert int(spec.platform(step)["activeDeadlineSeconds"]) > 0
            assert spec.task(step)["retryPolicy"]["maxRetryCount"] == 2
            assert not spec.task(step)["cachingOptions"].get("enableCache")
            assert spec.resources(step)["resourceMemoryLimit"] == spec.resources(step)["resourceMemoryRequest"]
            assert spec.resources(step)["resourceCpuRequest"]


@pytest.mark.parametrize("pipeline", kubeflow.available())
def test_nothing_of_any_pipeline_is_cached_and_all_of_it_is_tried_again(pipeline: str) -> None:
    spec = next(yaml.safe_load_all(kubeflow.pipeline(pipeline).read_text()))
    dags = [spec["root"]["dag"], *(found["dag"] for found in spec["components"].values() if "dag" in found)]
    tasks = {name: task for dag in dags for name, task in dag["tasks"].items()}
    assert not [name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")]
    work = {name: task for name, task in tasks.items() if "dag" not in spec["components"][task["componentRef"]["name"]]}
    assert work
    assert not [name for name, task in work.items() if task.get("retryPolicy", {}).get("maxRetryCount") != 2]


@pytest.mark.parametrize("pipeline", ["initial", "continual", "pretrained"])
def test_the_form_shows_where_the_instruments_name_goes(pipeline: str, tmp_path: Path) -> None:
    spec = next(yaml.safe_load_all(kubeflow.pipeline(pipeline).read_text()))
    form = spec["root"]["inputDefinitions"]["parameters"]["config"]["defaultValue"]
    with pytest.raises(UsageError, match="the instrument has no name"):
        preprocess.run(
            tmp_path, tmp_path / "out", RunConfig.from_json(form), champion=None, reporter=JsonLines(io.StringIO())
        )
    filled = form.replace('""', '"camera-b"')
    assert RunConfig.from_json(filled) == RunConfig.load(overrides=["data.instrument=camera-b"])


def test_every_step_finds_state_and_addresses(gpu: Spec) -> None:
    for step in gpu.steps:
        platform = gpu.platform(step)
        assert [(v["constant"], v["mountPath"]) for v in platform["pvcMount"]] == [("parfocal", "/var/lib/parfocal")]
        (addresses,), (secrets,) = platform["configMapAsEnv"], platform["secretAsEnv"]
        assert {key["envVar"] for key in addresses["keyToEnv"]} == {
            "MLFLOW_TRACKING_URI",
            "PARFOCAL_STATE",
            "PARFOCAL_SHARED",
            "PARFOCAL_IMAGE",
        }
        assert {key["envVar"] for key in secrets["keyToEnv"]} == {"PARFOCAL_DATABASE_URL"}
        assert not addresses["optional"], "a pod without its ledger must not start"
        assert not secrets["optional"], "a pod without its ledger must not start"


def test_the_cpu_profile_asks_for_no_gpu(cpu: Spec) -> None:
    for step in cpu.steps:
        assert "accelerator" not in cpu.resources(step)
        assert {"nodeSelector", "tolerations", "emptyDirMounts"}.isdisjoint(cpu.platform(step))


def test_a_file_of_ones_own_reaches_the_compiled_spec(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        """
        train:
          accelerator: amd.com/gpu
          accelerators: 4
          node_selector: {zone: basement}
          tolerations: [{key: dedicated, operator: Equal, value: ml, effect: NoExecute}]
          memory: 128Gi
          shared_memory: 64Gi
          labels: {kueue.x-k8s.io/queue-name: learning}
          retries: 5
          backoff_seconds: 7
          timeout_seconds: 99
        """
    )
    kubeflow.compile_all(tmp_path, str(file))
    spec = Spec(tmp_path / "pipelines" / "initial" / "pipeline.yaml")
    assert spec.resources("train")["accelerator"]["resourceCount"] == "4"
    platform = spec.platform("train")
    assert platform["nodeSelector"]["labels"] == {"zone": "basement"}
    (toleration,) = platform["tolerations"]
    assert toleration == {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoExecute"}
    assert platform["emptyDirMounts"][0]["sizeLimit"] == "64Gi"
    assert int(platform["activeDeadlineSeconds"]) == 99
    assert platform["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "learning"}
    policy = spec.task("train")["retryPolicy"]
    assert (policy["maxRetryCount"], policy["backoffDuration"]) == (5, "7s")
    pauses = 7 + 14 + 28 + 56 + 112
    assert policy["backoffMaxDuration"] == f"{6 * 99 + pauses}s", "or the last attempts would never be made"
    assert "pvcMount" not in platform, "no claim was named"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("train: {memory: 16GB}", "train.memory"),
        ("train: {shared_memory: lots}", "train.shared_memory"),
        ("train: {timeout_seconds: 0}", "train.timeout_seconds"),
        ("distill: {}", "distill"),
        ("train: {tolerations: [{key: a, effect: Never}]}", "effect"),
        ("train: [", "not YAML"),
        ("train: {accelerator: gpu}", "train.accelerator"),
        ("train: {memory: 4Gi, shared_memory: 4Gi}", "'train' cannot be placed: shared memory of 4Gi"),
        ("train: {accelerator: nvidia.com/mig-1g.10gb, accelerators: 2}", "one part of a GPU"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        placement.load(str(file))


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="aks, cpu, eks, gke, gpu"):
        placement.load("tpu")


def test_no_step_may_be_root(gpu: Spec) -> None:
    """A namespace that enforces Pod Security `restricted` starts nothing else."""
    for step in gpu.steps:
        context = gpu.platform(step)["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == ("10001", "10001", True)
