"""MLflow as the manifests start it, on PostgreSQL: who it answers, and its registry restored from a back-up."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from manifests_kit import command, one, run
from postgres_kit import Cluster
from promotion_kit import write_bundle

from parfocal.adapters import Settings, connect
from parfocal.adapters.processes import free_port
from parfocal.core import bundle
from parfocal.core.errors import DataContractError

pytestmark = pytest.mark.slow


@contextmanager
def server(database: str, artifacts: Path, log: Path) -> Iterator[str]:
    """The container's command, arguments and plain variables; the secrets' as they would be, on a free port."""
    container = one("production", "Deployment", "parfocal-mlflow")["spec"]["template"]["spec"]["containers"][0]
    port = free_port()
    arguments = [
        {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}.get(a, a) for a in container["args"]
    ]
    arguments = [word.replace(":5000", f":{port}") for word in arguments]
    told = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    told |= {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts)}
    names = {entry["name"] for entry in container["env"]}
    assert told.keys() <= names
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | told
    with log.open("wb") as stream:
        child = subprocess.Popen(
            [sys.executable, *container["command"][1:], *arguments], env=environment, stdout=stream, stderr=stream,
            cwd=log.parent, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while (
            status(f"http://127.0.0.1:{port}/health", f"10.0.0.7:{port}") != 200
        ):  # the kubelet asks the pod's address
            assert child.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://localhost:{port}"
    finally:
        os.killpg(child.pid, 15)
        child.wait(30)


def status(url: str, host: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_registry_is_whole_after_a_restore(
    tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    old, new = postgres.database(), postgres.database()
    made = tmp_path / "bundle"
    write_bundle(made, "one")
    with server(old, tmp_path / "objects", tmp_path / "one.log") as address:
        port = address.rsplit(":", 1)[1]
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/search"
        assert status(search, f"parfocal-mlflow:{port}") == 200
        assert status(search, "parfocal-mlflow.parfocal.svc.cluster.local") == 200
        assert status(search, "evil.example.org") == 403
        models = connect(Settings(state=tmp_path / "state", tracking_uri=address)).models
        version = models.register(made, "fundus")
        models.set_alias("fundus", "champion", version.version)
        run(command("pg_dump"), tmp_path, DATABASE=old.replace("+psycopg", ""))
        shutil.copytree(tmp_path / "objects", tmp_path / "restored")
    run(command("pg_restore"), tmp_path, NEW=new.replace("+psycopg", ""))
    with server(new, tmp_path / "restored", tmp_path / "two.log") as address:
        models = connect(Settings(state=tmp_path / "state2", tracking_uri=address)).models
        found = models.get("fundus", "champion")
        assert found and (found.version, found.checksum) == (version.version, version.checksum)
        fetched = models.fetch("fundus", "champion", tmp_path / "fetched")
        assert bundle.parse(fetched) == bundle.parse(made)
        weights = next((tmp_path / "restored").rglob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"!")
        with pytest.raises(DataContractError):  # a file that the back-up has lost serves nobody
            models.fetch("fundus", "champion", tmp_path / "again")
