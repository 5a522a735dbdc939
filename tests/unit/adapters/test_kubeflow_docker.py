"""Which folders of this machine a step's container sees."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from parfocal.adapters import kubeflow, kubeflow_docker
from parfocal.adapters.kubeflow import Containers


class Enough(Exception):
    """The runner was asked for; nothing runs."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that the containers of a run may read."""
    found: list[Path] = []

    @contextmanager
    def runner(_containers: Containers, _state: Path, read: Sequence[Path]) -> Iterator[Any]:
        found.extend(read)
        raise Enough
        yield

    monkeypatch.setattr(kubeflow_docker, "runner", runner)
    monkeypatch.setattr(kubeflow_docker, "check", lambda _images: None)
    return found


def run(name: str, root: Path, arguments: Mapping[str, Any]) -> None:
    with pytest.raises(Enough):
        kubeflow.run_local(kubeflow.pipeline(name), arguments, root, containers=Containers())


def test_a_fleets_containers_see_the_folder_of_every_instrument(
    read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"A": str(tmp_path / "a"), "B": "b", "C": "s3://bucket/c"}
    run("fleet", tmp_path, {"config": "", "experiences": json.dumps(places), "idempotency_key": "k"})
    assert read == [tmp_path / "a", tmp_path / "b"]


def test_other_pipelines_containers_see_the_experience_and_the_champion(read: list[Path], tmp_path: Path) -> None:
    arguments = {"config": "", "experience_uri": str(tmp_path / "a"), "idempotency_key": "k"}
    run("continual", tmp_path, {**arguments, "champion_uri": "s3://bucket/bundle"})
    assert read == [tmp_path / "a"]
