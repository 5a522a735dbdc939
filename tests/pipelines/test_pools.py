"""A step that fits on no declared node is refused when compiling, with what keeps it off each pool."""

from pathlib import Path

import pytest
from parfocal_pipelines import placement, pools

from parfocal.adapters import kubeflow
from parfocal.core.errors import UsageError

NODES = """
pools:
  gpu:
    cpu: 7900m
    memory: 28Gi
    accelerators: {nvidia.com/gpu: 1, nvidia.com/mig-1g.10gb: 7}
    labels: {pool: gpu}
    taints:
      - {key: nvidia.com/gpu, value: present}
      - {key: soft, effect: PreferNoSchedule}
      - {key: spot, value: "true", effect: NoExecute}
  plain: {cpu: "8", memory: 16Gi}
"""
TOLERATED = """
    node_selector: {pool: gpu}
    tolerations:
      - {key: nvidia.com/gpu}
      - {key: spot, operator: Equal, value: "true", effect: NoExecute}
"""


def load(tmp_path: Path, train: str) -> placement.Placement:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{NODES}\ntrain:\n{train}")
    return placement.load(str(file)).train


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"])
def test_a_step_that_fits_on_a_pool_is_placed(tmp_path: Path, resource: str) -> None:
    assert load(tmp_path, f"    accelerator: {resource}{TOLERATED}").accelerator == resource


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ("    accelerator: nvidia.com/gpu", r"Pool gpu: the taint nvidia.com/gpu=present:NoSchedule is not tolerated"),
        ("    accelerator: nvidia.com/gpu", r"Pool plain: 1 x nvidia.com/gpu is more than a node's 0"),
        (
            f"    accelerators: 2\n    accelerator: nvidia.com/gpu{TOLERATED}",
            "2 x nvidia.com/gpu is more than a node's 1",
        ),
        (f"    accelerator: nvidia.com/gpu.shared{TOLERATED}", "1 x nvidia.com/gpu.shared is more than a node's 0"),
        (f"    cpu: '8'{TOLERATED}", "cpu 8 is more than a node's 7900m"),
        ("    memory: 20Gi", "memory 20Gi is more than a node's 16Gi"),
        ("    node_selector: {pool: tpu}", "not labelled pool=tpu"),
        (TOLERATED.replace('"true"', '"false"'), "the taint spot=true:NoExecute is not tolerated"),
    ],
)
def test_a_step_that_fits_nowhere_is_refused_with_the_reason(tmp_path: Path, train: str, reason: str) -> None:
    with pytest.raises(UsageError, match="'train' fits on no node") as raised:
        load(tmp_path, train)
    assert reason in raised.value.what


def test_the_command_that_compiles_says_so_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"{NODES}\nretrain: {{memory: 1Ti}}")
    with pytest.raises(UsageError, match=r"'retrain' fits on no node\. Pool gpu: "):
        kubeflow.compile_all(tmp_path / "out", str(file))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("quantity", "value"), [("500m", 0.5), ("1.5", 1.5), ("4", 4), ("2K", 2000), ("3Gi", 3 * 2**30), ("1T", 10**12)]
)
def test_quantities_are_those_of_kubernetes(quantity: str, value: float) -> None:
    assert float(pools.size(quantity)) == value


@pytest.mark.parametrize("cloud", ["gke", "eks", "aks"])
def test_a_clouds_own_labels_select_its_nodes_and_learning_is_tried_again_when_a_spot_node_goes(cloud: str) -> None:
    read = placement.load(cloud)
    assert read.retrain.node_selector.items() <= read.pools["gpu"].labels.items()
    assert any("spot" in f"{label}={value}" for label, value in read.retrain.node_selector.items())
    assert read.retrain.retries >= 5
    assert read.promote.node_selector == {}
