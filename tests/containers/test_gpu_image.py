"""The target `gpu`, built as it stands but with the CPU build of PyTorch: what CUDA does in it, a GPU's node shows."""

import json

import containers_kit as kit
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image(engine: None) -> str:
    kit.gpu_image()
    return kit.GPU


def test_the_target_for_gpus_builds_and_asks_the_runtime_for_them(image: str) -> None:
    config = json.loads(kit.docker("image", "inspect", image))[0]["Config"]
    assert {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"} <= set(config["Env"])
    assert config["User"] == kit.USER
    assert not config["Entrypoint"]
    shut_in = ("--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    assert "train" in kit.docker("run", *shut_in, image, "parfocal", "--help")
    assert (
        kit.docker("run", *shut_in, image, "python3", "-c", "import torch; print(torch.ones(2).sum())").strip()
        == "tensor(2.)"
    )
