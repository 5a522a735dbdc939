"""MLflow's server from its image, as its manifest starts it, on a real PostgreSQL and a real S3 server."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import containers_kit as kit
import httpx
import pytest
import storage_kit
from manifests_kit import one
from postgres_kit import Cluster
from promotion_kit import write_bundle

from parfocal.adapters import Settings, connect
from parfocal.adapters.processes import free_port
from parfocal.core import bundle

pytestmark = pytest.mark.usefixtures("mlflow_image")


def manifest() -> tuple[dict[str, Any], dict[str, Any]]:
    pod = one("production", "Deployment", "parfocal-mlflow")["spec"]["template"]["spec"]
    return pod["securityContext"], pod["containers"][0]


@contextmanager
def server(secret: dict[str, str]) -> Iterator[str]:
    """The pod's container: its user, limits, command, arguments and variables. The port is a free one."""
    user, container = manifest()
    port = free_port()
    arguments = [word.replace("5000", str(port)) for word in container["args"]]
    told = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry} | secret
    assert told.keys() <= {entry["name"] for entry in container["env"]}
    name = kit.docker(
        "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--user", f"{user['runAsUser']}:{user['runAsGroup']}",
        "--memory", container["resources"]["limits"]["memory"].removesuffix("i").lower(),
        *(word for key, value in told.items() for word in ("-e", f"{key}={value}")),
        kit.MLFLOW, *container["command"], *arguments,
    ).strip()  # fmt: skip
    try:
        end = time.monotonic() + 60 * container["startupProbe"]["periodSeconds"]
        while status(port, container["startupProbe"]["httpGet"]["path"], f"10.0.0.7:{port}") != 200:
            running = json.loads(kit.docker("inspect", name))[0]["State"]["Running"]
            assert running and time.monotonic() < end, kit.docker("logs", name)[-3000:]
            time.sleep(0.3)
        yield f"http://localhost:{port}"
        kit.docker("stop", "--time", "30", name)
        assert json.loads(kit.docker("inspect", name))[0]["State"]["ExitCode"] in (0, 143), kit.docker("logs", name)
    finally:
        kit.docker("rm", "--force", name)


def status(port: int, path: str, host: str) -> int:
    """As the kubelet asks: by the pod's address."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}, timeout=10).status_code
    except httpx.HTTPError:
        return 0


@pytest.fixture
def s3() -> Iterator[storage_kit.S3]:
    with storage_kit.serving() as made:
        yield made


def test_a_registry_whose_state_is_nowhere_in_the_container(
    tmp_path: Path, postgres: Cluster, s3: storage_kit.S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    secret = {
        "MLFLOW_BACKEND_STORE_URI": postgres.database(),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{storage_kit.BUCKET}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": s3.environment["AWS_ENDPOINT_URL"],
        "AWS_ACCESS_KEY_ID": "parfocal",
        "AWS_SECRET_ACCESS_KEY": "local-only",
    }
    for name in s3.environment:  # the server alone has the keys
        monkeypatch.delenv(name)
    for name in ("one", "two"):
        write_bundle(tmp_path / name, name)
    with server(secret) as address:
        port = int(address.rsplit(":", 1)[1])
        search = "/api/2.0/mlflow/registered-models/search"
        assert status(port, search, f"parfocal-mlflow:{port}") == 200
        assert status(port, search, "evil.example.org") == 403
        models = connect(Settings(state=tmp_path / "state", tracking_uri=address)).models
        first, second = (models.register(tmp_path / name, "fundus") for name in ("one", "two"))
        models.set_alias("fundus", "champion", first.version)
        fetched = models.fetch("fundus", "champion", tmp_path / "fetched-one")
        assert bundle.parse(fetched) == bundle.parse(tmp_path / "one")
        models.set_alias("fundus", "champion", second.version)
    with monkeypatch.context() as mine:
        for name, value in s3.environment.items():
            mine.setenv(name, value)
        stored = sorted(s3.written())
    assert sum(name.endswith(".safetensors") for name in stored) == 2, stored
    assert all(name.startswith("mlflow/") for name in stored)
    with server(secret) as address:  # another pod
        models = connect(Settings(state=tmp_path / "other", tracking_uri=address)).models
        found = models.get("fundus", "champion")
        assert found and (found.version, found.checksum) == (second.version, second.checksum)
        fetched = models.fetch("fundus", "champion", tmp_path / "fetched-two")
        assert bundle.parse(fetched) == bundle.parse(tmp_path / "two")


def test_the_image_says_what_is_in_it() -> None:
    config = json.loads(kit.docker("image", "inspect", kit.MLFLOW))[0]["Config"]
    assert not config["Entrypoint"]
    assert config["User"] == kit.USER
    assert config["Labels"]["org.opencontainers.image.version"] == "tested"
    assert len(config["Labels"]["org.opencontainers.image.revision"]) == 40
    shut_in = ("--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--user", "54321:54321")
    bill = json.loads(kit.docker("run", *shut_in, kit.MLFLOW, "cat", "/opt/mlflow/sbom.cdx.json"))
    found = {part["name"].lower(): part["version"] for part in bill["components"]}
    lines = (kit.ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name.lower(): version for name, _, version in (line.partition("==") for line in lines) if version}
    for name in ("mlflow", "boto3", "psycopg", "psycopg-binary"):
        assert found[name] == pinned[name]
    assert "parfocal" not in found and "torch" not in found
