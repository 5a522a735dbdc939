"""What is in the images, and what a container of them may do."""

import json
import socket
import time
from pathlib import Path

import containers_kit as kit
import cv2
import httpx
import pytest
import serving_kit

from parfocal import phantoms
from parfocal.adapters import kubeflow_docker

pytestmark = pytest.mark.usefixtures("images")
BOTH = pytest.mark.parametrize("image", [kit.STEPS, kit.SERVING])
SHUT_IN = ("--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "54321:54321")


def inspected(image: str) -> dict:
    return json.loads(kit.docker("image", "inspect", image))[0]


@BOTH
def test_an_image_has_no_entrypoint_and_is_nobody_in_particular(image: str) -> None:
    config = inspected(image)["Config"]
    assert not config["Entrypoint"]
    assert config["User"] == kit.USER
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["version"] == "tested"
    assert labels["licenses"] == "Apache-2.0"
    assert len(labels["revision"]) == 40


@BOTH
def test_an_image_says_what_is_in_it(image: str) -> None:
    """As CycloneDX, with the versions that were pinned."""
    bill = json.loads(kit.docker("run", *SHUT_IN, image, "cat", "/opt/parfocal/sbom.cdx.json"))
    found = {part["name"].lower(): part["version"] for part in bill["components"]}
    lines = (kit.ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name.lower(): version for name, _, version in (line.partition("==") for line in lines) if version}
    assert found["openvino"] == pinned["openvino"]
    ours = {name: version.partition("+")[0] for name, version in found.items() if name in pinned}
    assert ours == {name: pinned[name] for name in ours}
    assert len(ours) > 40


@BOTH
def test_an_image_has_no_cuda(image: str) -> None:
    listed = kit.docker("run", *SHUT_IN, image, "python3", "-m", "pip", "list", "--format=freeze")
    assert "parfocal==" in listed
    assert "nvidia-cu" not in listed  # nvidia-ml-py, which BentoML asks for, only reads what a driver says


def test_the_serving_image_answers_without_pytorch() -> None:
    listed = kit.docker("run", *SHUT_IN, kit.SERVING, "python3", "-m", "pip", "list", "--format=freeze")
    assert "\ntorch==" not in listed
    assert inspected(kit.SERVING)["Size"] < 0.6 * inspected(kit.STEPS)["Size"]


def test_a_failing_step_fails_every_time() -> None:
    """Twenty that end at once: with a container that removes itself one in four was taken for a success."""
    import docker

    client = docker.from_env()
    arguments = {**kubeflow_docker.Containers(user=kit.USER).arguments(), "volumes": {}}
    try:
        statuses = [
            kubeflow_docker._run(client, image=kit.STEPS, command=["sh", "-c", f"exit {1 + i % 3}"], **arguments)
            for i in range(20)
        ]
        left = client.containers.list(all=True, filters={"label": kubeflow_docker.LABEL})
    finally:
        client.close()
    assert statuses == [1 + i % 3 for i in range(20)]
    assert left == []


def test_a_container_of_a_step_is_shut_in() -> None:
    import docker

    client = docker.from_env()
    arguments = {**kubeflow_docker.Containers(user=kit.USER, memory="256m").arguments(), "volumes": {}}

    def status(program: str) -> int:
        return kubeflow_docker._run(client, image=kit.STEPS, command=["python3", "-c", program], **arguments)

    try:
        assert status("open('/tmp/here', 'w')") == 0
        assert status("open('/opt/parfocal/here', 'w')") == 1, "the root is read-only"
        assert status("import socket; socket.create_connection(('192.0.2.1', 80), 2)") == 1, "there is no network"
        assert status("import os; os.setuid(0)") == 1, "nobody becomes root"
        assert status("bytearray(10**9)[:] = bytes(10**9)") != 0, "memory has a limit"
    finally:
        client.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = kit.owned(tmp_path / "state")
    bundle = serving_kit.bundle(tmp_path / "bundle")
    serving_kit.promote(folder, bundle, "7")
    for place in [tmp_path, *tmp_path.rglob("*")]:
        place.chmod(0o777 if place.is_dir() else 0o666)
    return folder


def test_the_segmenter_answers_from_its_image(tmp_path: Path, state: Path) -> None:
    """Read-only, without capabilities, by another user than it was built for, and ends on SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ("bentoml", "serve", "parfocal_serving.segmenter.service:Segmenter", "--host", "127.0.0.1")
    environment = {"PARFOCAL_STATE": state, "PARFOCAL_OPEN": "1", "PARFOCAL_SEGMENTER_WORKERS": "1"}
    name = kit.docker(
        "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--user", "54321:54321", "--memory", "2g", "-v", f"{tmp_path}:{tmp_path}",
        *(word for key, value in environment.items() for word in ("-e", f"{key}={value}")),
        kit.SERVING, *command, "--port", str(port),
    ).strip()  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + serving_kit.READY
        while not _ready(address):
            assert time.monotonic() < end, kit.docker("logs", name)[-3000:]
            time.sleep(0.5)
        shown = phantoms.case("A", 1, seed=3)
        picture = cv2.imencode(".png", shown.image)[1].tobytes()
        answer = httpx.post(f"{address}/segment", files={"image": picture}, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["version"] == "7"
        kit.docker("stop", "--time", "20", name)
        assert json.loads(kit.docker("inspect", name))[0]["State"]["ExitCode"] in (0, 143)
    finally:
        kit.docker("rm", "--force", name)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_monitor_brings_its_database_up_from_the_image() -> None:
    said = kit.docker(
        "run", *SHUT_IN, "-e", "PARFOCAL_STATE=/tmp/state", kit.SERVING, "python3", "-m", "parfocal_serving.monitor",
        "--migrate",
    )  # fmt: skip
    assert "monitor.db" in said


def test_the_follower_asks_a_registry_from_the_image() -> None:
    """With MLflow's client alone; nobody is there, and that is what it says."""
    said = kit.docker(
        "run", *SHUT_IN, "-e", "MLFLOW_TRACKING_URI=http://127.0.0.1:9", "-e", "MLFLOW_HTTP_REQUEST_MAX_RETRIES=0",
        kit.SERVING, "python3", "-c",
        "from parfocal.adapters import connect; connect().models.get('fundus', 'champion')", check=False,
    )  # fmt: skip
    assert "OutsideServiceError" in said
    assert "see that MLflow runs" in said
