"""A run on a cluster is told an address that its pods can follow, or nothing is sent."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from parfocal import adapters
from parfocal.adapters import kubeflow, storage
from parfocal.adapters.champion_address import champion_address
from parfocal.adapters.kubeflow_remote import Submitted
from parfocal.cli.pipeline import pipeline
from parfocal.core import manifest
from parfocal.core.errors import UsageError


class Models:
    """A registry whose champion is at an address of MLflow's."""

    def __init__(self, bundle: Path, uri: str) -> None:
        self.bundle, self.uri = bundle, uri

    def get(self, task: str, reference: str) -> Any:
        return SimpleNamespace(uri=self.uri) if (task, reference) == ("fundus", "champion") else None

    def fetch(self, _task: str, _reference: str, _into: Path) -> Path:
        return self.bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w")
    manifest.seal(folder, "bundle")
    return folder


def platform(bundle: Path, uri: str, root: str) -> Any:
    return SimpleNamespace(models=Models(bundle, uri), settings=SimpleNamespace(storage=root, state=bundle.parent))


@pytest.mark.parametrize(
    "uri", ["mlflow-artifacts:/1/models/m/data/bundle", "/state/mlflow/data/bundle", "file:///x", "models:/fundus/3"]
)
def test_a_champion_at_an_address_of_mlflows_is_stored_where_pods_can_fetch_it(
    uri: str, bundle: Path, tmp_path: Path
) -> None:
    root = (tmp_path / "store").as_uri()
    told = champion_address(platform(bundle, uri, f"{root}/"), "champion", "fundus")
    assert told == f"{root}/bundles/fundus/{manifest.read(bundle).checksum}"
    assert (storage.fetch(told, tmp_path / "cache", "bundle") / "weights").read_bytes() == b"w"
    with pytest.raises(UsageError, match="cannot fetch the champion") as error:
        champion_address(platform(bundle, uri, ""), "champion", "fundus")
    assert error.value.where == uri
    assert "PARFOCAL_STORAGE" in error.value.next


def test_an_address_of_an_object_store_is_told_as_it_stands_and_a_folder_is_stored(
    bundle: Path, tmp_path: Path
) -> None:
    there = platform(bundle, "s3://mlflow/1/data/bundle", "")
    assert champion_address(there, "champion", "fundus") == "s3://mlflow/1/data/bundle"
    assert champion_address(there, "s3://bucket/bundle", "fundus") == "s3://bucket/bundle"
    with pytest.raises(UsageError, match="cannot fetch"):
        champion_address(there, str(bundle), "fundus")
    root = (tmp_path / "store").as_uri()
    assert champion_address(platform(bundle, "", root), str(bundle), "fundus").startswith(f"{root}/bundles/fundus/")
    with pytest.raises(UsageError, match="no champion 'nobody'"):
        champion_address(there, "nobody", "fundus")


def test_submit_sends_no_address_of_this_machine(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []

    def keep(_file: Path, arguments: dict[str, str], **_: Any) -> Submitted:
        sent.append(arguments)
        return Submitted("r", "http://k", True)

    root = (tmp_path / "store").as_uri()
    monkeypatch.setattr(kubeflow, "submit", keep)
    monkeypatch.setattr(adapters, "connect", lambda: platform(bundle, "mlflow-artifacts:/1/data/bundle", root))
    command = ["submit", "continual", "--experience", "s3://bucket/b", "--set", "data.instrument=B", "--json"]
    done = CliRunner().invoke(pipeline, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["run_id"] == "r"
    assert sent[0]["champion_uri"].startswith(f"{root}/bundles/fundus/")
