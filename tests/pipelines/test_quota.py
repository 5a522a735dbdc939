"""A step that asks for more than its namespace may have, or for an accelerator that is nobody's, is refused when
compiling; on the cluster its run would stand still without a word."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from parfocal_pipelines import accelerators, placement, quota
from parfocal_pipelines.pools import size

from parfocal.core.errors import UsageError

LIMITS = Path(__file__).parents[2] / "manifests" / "base" / "shared" / "limits.yaml"


def load(tmp_path: Path, text: str) -> placement.Placements:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return placement.load(str(file))


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    return {found["kind"]: found["spec"] for found in yaml.safe_load_all(LIMITS.read_text())}


def test_the_quota_is_that_of_the_manifests(limits: dict[str, Any]) -> None:
    hard = limits["ResourceQuota"]["hard"]
    assert hard["requests.cpu"] == quota.SHIPPED.cpu
    assert "limits.cpu" not in hard
    memory = min(hard["requests.memory"], hard["limits.memory"], key=size)
    assert memory == quota.SHIPPED.memory, "a step's request is its limit: the smaller one holds"
    counted = {name.removeprefix("requests."): int(hard[name]) for name in hard if "/" in name}
    assert counted == quota.SHIPPED.accelerators


def test_what_a_container_may_have_is_that_of_the_manifests(limits: dict[str, Any]) -> None:
    (container,) = (one for one in limits["LimitRange"]["limits"] if one["type"] == "Container")
    assert container.get("max", {}) == quota.SHIPPED.container.model_dump(exclude_none=True)


@pytest.mark.parametrize("given", ["", "pools: {any: {cpu: '999', memory: 9Ti, accelerators: {nvidia.com/gpu: 99}}}"])
def test_a_step_that_asks_for_more_than_the_namespace_has_is_refused_with_all_that_is_too_much(
    tmp_path: Path, given: str
) -> None:
    asked = "train: {accelerator: nvidia.com/gpu, accelerators: 16, cpu: '900', memory: 4Ti}"
    with pytest.raises(UsageError, match="'train' would never start") as raised:
        load(tmp_path, f"{asked}\n{given}")
    for reason in (
        "cpu 900 is more than the namespace's quota of 64",
        "memory 4Ti is more than the namespace's quota of 256Gi",
        "16 x nvidia.com/gpu is more than the namespace's quota of 8",
    ):
        assert reason in raised.value.what
    assert (raised.value.where, bool(raised.value.expected)) == ("placement, train", True)


def test_all_of_the_quota_may_be_asked_for(tmp_path: Path) -> None:
    load(tmp_path, "train: {accelerator: nvidia.com/gpu, accelerators: 8, cpu: 64000m, memory: 256Gi}")


@pytest.mark.parametrize("none", ["quota: {}", "quota:"])
def test_a_namespace_without_a_quota_bounds_nothing(tmp_path: Path, none: str) -> None:
    read = load(tmp_path, f"{none}\ntrain: {{accelerator: nvidia.com/gpu, accelerators: 16, cpu: '900', memory: 4Ti}}")
    assert read.train.accelerators == 16


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{cpu: 1500m}", "cpu 2 is more than the namespace's quota of 1500m"),
        ("{container: {memory: 2Gi}}", "memory 4Gi is more than the 2Gi that one container may have"),
        ("{container: {cpu: '1'}}", "cpu 2 is more than the 1 that one container may have"),
    ],
)
def test_a_quota_of_ones_own_holds_for_what_it_names(tmp_path: Path, given: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, f"quota: {given}")
    assert f"the step 'preprocess' would never start: {reason}" == raised.value.what


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nvidia.com/gpuu", "nvidia.com/gpu"),
        ("nvida.com/gpu", "nvidia.com/gpu"),
        ("nvidia.com/GPU", "nvidia.com/gpu"),
        ("amd.com/gpus", "amd.com/gpu"),
        ("nvidia.com/mig-1g10gb", "nvidia.com/mig-1g.10gb"),
        ("nvidia.com/mig-5g.20gb", "nvidia.com/mig-1g.10gb"),
    ],
)
def test_a_misspelt_accelerator_is_refused_with_what_was_meant(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"asks for {name}, .* is it {meant}\?") as raised:
        load(tmp_path, f"train: {{accelerator: {name}}}")
    assert raised.value.where == "placement, train.accelerator"
    nodes = f"pools: {{any: {{cpu: '8', memory: 8Gi, accelerators: {{{name}: 1}}}}}}"
    assert load(tmp_path, f"{nodes}\ntrain: {{accelerator: {name}}}").train.accelerator == name
    load(tmp_path, f"quota: {{accelerators: {{{name}: 1}}}}\ntrain: {{accelerator: {name}}}")


@pytest.mark.parametrize(
    "name",
    [
        *accelerators.KNOWN,
        "nvidia.com/mig-1g.10gb",
        "nvidia.com/mig-1g.10gb.me",
        "nvidia.com/mig-7g.80gb",
        "nvidia.com/mig-1g.12gb-me.shared",
        "vendor.example/npu",
    ],
)
def test_a_name_that_is_known_or_like_none_that_is_known_is_left_alone(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, f"train: {{accelerator: {name}}}").train.accelerator == name
