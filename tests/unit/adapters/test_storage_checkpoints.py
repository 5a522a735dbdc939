"""Checkpoints in an object store: whole or not there, brought to another machine, gone when they are not needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data_kit
import learning_kit
import pytest
from storage_kit import BUCKET, S3, serving

from parfocal.adapters import storage_checkpoints
from parfocal.adapters.storage_checkpoints import StoredCheckpoints
from parfocal.adapters.storage_remote import Remote
from parfocal.core import manifest
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.steps import retrain


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with serving() as s3:
        yield s3


@pytest.fixture(params=["s3", "file"])
def root(request: pytest.FixtureRequest, tmp_path: Path, server: S3) -> Iterator[str]:
    yield f"file://{tmp_path / 'volume'}" if request.param == "file" else f"s3://{BUCKET}/checkpoints"
    for key in server.written():
        server.client().delete_object(Bucket=BUCKET, Key=key)


def write(folder: Path, step: int, content: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step-{step}.safetensors").write_text(content or f"tensors of {step}")
    (folder / f"step-{step}.json").write_text(f"entry of {step} {content}")


def content(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_what_one_machine_keeps_another_brings_and_the_older_goes(root: str, tmp_path: Path) -> None:
    here, there = tmp_path / "one" / "key", tmp_path / "two" / "key"
    store = StoredCheckpoints(f"{root}/key", here)
    (here / "disc").mkdir(parents=True)
    (here / "strategy.json").write_text("replay")
    store.keep(here)
    for step in (1, 2, 3):
        write(here / "disc", step)
        (here / "disc" / f"step-{step - 2}.safetensors").unlink(missing_ok=True)
        (here / "disc" / f"step-{step - 2}.json").unlink(missing_ok=True)
        (here / "disc" / ".step-9.json.tmp").write_text("half")
        store.keep(here / "disc")
    (here / "disc" / ".step-9.json.tmp").unlink()
    other = StoredCheckpoints(f"{root}/key", there)
    write(there / "disc", 3, "by an attempt here")
    other.bring(there)
    assert content(there) == content(here) | {
        "disc/step-3.safetensors": "by an attempt here", "disc/step-3.json": "entry of 3 by an attempt here",
    }  # fmt: skip
    other.keep(there / "disc")  # of the same names and other contents
    fresh = tmp_path / "three" / "key"
    StoredCheckpoints(f"{root}/key", fresh).bring(fresh)
    assert content(fresh) == content(there)
    other.drop()
    assert not Remote(f"{root}/key").listed()


def test_tensors_without_their_entry_are_not_there(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "key"
    write(here, 1)
    store = StoredCheckpoints(f"{root}/key", here)
    store.keep(here)
    write(here, 2)
    put: Any = Remote.put

    def killed(self: Remote, files: dict[str, Path]) -> None:
        if any(name.endswith(".json") for name in files):
            raise KeyboardInterrupt
        put(self, files)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Remote, "put", killed)
        store.keep(here)
    assert set(Remote(f"{root}/key").listed()) == {"step-1.json", "step-1.safetensors", "step-2.safetensors"}
    StoredCheckpoints(f"{root}/key", tmp_path / "other").bring(tmp_path / "other")
    assert set(content(tmp_path / "other")) == {"step-1.json", "step-1.safetensors"}


class Killed(data_kit.Notes):
    """A machine that goes in this step of this network."""

    def progress(self, stage: str, done: int, total: int) -> None:
        if (stage, done) == ("cup", 3):
            raise KeyboardInterrupt


def test_a_retrain_goes_on_in_a_pod_that_shares_nothing_but_the_store(
    tmp_path: Path, server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parfocal.steps.learning.export_agreeing", lambda *_, **__: ({}, {}))
    monkeypatch.setenv("PARFOCAL_CHECKPOINTS", f"s3://{BUCKET}/parfocal/checkpoints/")
    learning_kit.second(tmp_path)
    settings = ("retrain.train.steps=4", "retrain.train.validate_every=2", "retrain.train.checkpoint_every=1")

    def pod(name: str, reporter: data_kit.Notes, *more: str, key: str = "the key") -> Path:
        out, state = tmp_path / name, tmp_path / f"{name}-state"
        with storage_checkpoints.kept(state, key) as store:
            retrain.run(
                tmp_path / "b", tmp_path / "first", out, tmp_path / f"{name}-memory",
                learning_kit.config(*settings, *more, instrument="B"), state=state, key=key,
                run=learning_kit.Untracked(), reporter=reporter, store=store,
            )  # fmt: skip
        return out

    with pytest.raises(KeyboardInterrupt):
        pod("gone", Killed())
    assert {name.split("/")[-2] for name in server.written()} >= {"disc", "cup"}
    with pytest.raises(UsageError, match="made with another strategy"):
        pod("other", data_kit.Notes(), "retrain.strategy.name=finetune")
    resumed = pod("resumed", notes := data_kit.Notes())
    assert "disc goes on from step 4 of 4" in notes.notes
    assert "cup goes on from step 2 of 4" in notes.notes
    assert not server.written(), "what they led to is there"
    monkeypatch.delenv("PARFOCAL_CHECKPOINTS")
    alone = pod("alone", data_kit.Notes())
    for structure in ("disc", "cup"):
        name = f"{structure}/weights.safetensors"
        assert manifest.verify(resumed).files[name] == manifest.verify(alone).files[name]


def test_a_store_that_is_away_ends_no_training_but_no_new_pod_begins_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parfocal.steps.learning.export_agreeing", lambda *_, **__: ({}, {}))
    learning_kit.second(tmp_path)

    class Away(StoredCheckpoints):
        def keep(self, folder: Path) -> None:
            if folder.name in ("disc", "cup"):
                raise OutsideServiceError("the storage cannot be used")

    settings = learning_kit.config("retrain.train.steps=2", instrument="B")
    with serving() as s3:
        store = Away(f"s3://{BUCKET}/away", tmp_path / "state" / "checkpoints" / "away")
        reporter = data_kit.Notes()
        retrain.run(
            tmp_path / "b", tmp_path / "first", tmp_path / "out", tmp_path / "memory", settings,
            state=tmp_path / "state", key="away", run=learning_kit.Untracked(), reporter=reporter, store=store,
        )  # fmt: skip
        assert "disc: the checkpoint of step 2 is on this machine alone: the storage cannot be used" in reporter.notes
        monkeypatch.setattr("parfocal.adapters.storage_remote.ATTEMPTS", 1)
        monkeypatch.setenv("AWS_REGION", "us-east-1")  # another environment: a client of its own
        s3.go()
        with pytest.raises(OutsideServiceError):
            store.bring(tmp_path / "state" / "checkpoints" / "away")
        s3.come_back()


def test_who_follows_and_who_names_no_store_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARFOCAL_CHECKPOINTS", raising=False)
    with storage_checkpoints.kept(tmp_path, "k") as store:
        assert store is None
    monkeypatch.setenv("PARFOCAL_CHECKPOINTS", "s3://b/c")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    with storage_checkpoints.kept(tmp_path, "k") as store:
        assert store is None
