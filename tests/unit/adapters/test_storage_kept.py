"""What one pod writes and another reads, with nothing between them but an S3 server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from kfp import dsl
from storage_kit import BUCKET, S3, folder, serving

from parfocal.adapters import kubeflow
from parfocal.cli.memory import memory as command
from parfocal.core import manifest
from parfocal.core.bundle import Bundle, DatasetRef
from parfocal.core.errors import DataContractError, OutsideServiceError
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import Arrays


@pytest.fixture
def s3() -> Iterator[S3]:
    with serving() as made:
        yield made
        for key in made.written():
            made.client().delete_object(Bucket=BUCKET, Key=key)
        made.client().delete_bucket(Bucket=BUCKET)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3) -> Path:
    monkeypatch.setenv("PARFOCAL_SHARED", str(tmp_path / "shared"))
    monkeypatch.setenv("PARFOCAL_STORAGE", f"s3://{BUCKET}/parfocal/")
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    return tmp_path / "shared"


def artifact(path: Path) -> dsl.Artifact:
    path.parent.mkdir(parents=True, exist_ok=True)
    return dsl.Artifact(uri=str(path))


def bundle(place: Path, dataset: Path, memory: Path) -> None:
    with manifest.new_folder(place, "bundle") as scratch:
        named = (DatasetRef(instrument="A", uri=str(dataset), checksum="0"),)
        made = Bundle(
            task="fundus", structures={}, recipe={}, instruments=("A",), datasets=named, memory_uri=str(memory)
        )
        (scratch / "bundle.json").write_text(made.model_dump_json())


def test_a_later_pod_has_the_bundle_and_what_it_names_without_a_shared_volume(tmp_path: Path, shared: Path) -> None:
    pod = tmp_path / "pod"
    outs = [artifact(pod / name) for name in ("dataset", "memory", "bundle")]
    with kubeflow.sealed(*outs) as (dataset, memory, made):
        folder(dataset)
        folder(memory, "memory", content="picture")
        bundle(made, dataset, memory)
    assert manifest.verify(pod / "dataset") and manifest.verify(pod / "bundle")
    assert [file.name for file in (pod / "memory").iterdir()] == ["manifest.json"], "Kubeflow's copy has no pictures"
    shutil.rmtree(shared)
    shutil.rmtree(pod)
    assert kubeflow.folder(outs[2]) == made
    assert [manifest.verify(place).kind for place in (made, dataset, memory)] == ["bundle", "dataset", "memory"]


def test_a_task_that_is_tried_again_stores_its_new_folder(tmp_path: Path, shared: Path) -> None:
    for content in ("first", "second"):
        with kubeflow.sealed(artifact(tmp_path / "pod" / "dataset")) as (place,):
            folder(place, content=content)
    shutil.rmtree(shared)
    assert (kubeflow.folder(artifact(tmp_path / "pod" / "dataset")) / "part 0" / "0.txt").read_text()[:6] == "second"


def test_a_step_whose_folder_cannot_be_stored_fails_and_may_be_tried_again(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_STORAGE", "s3://no-such-bucket/x")
    out = artifact(tmp_path / "pod" / "dataset")
    with pytest.raises(OutsideServiceError, match="no such bucket"), kubeflow.sealed(out) as (place,):
        folder(place)
    assert not (tmp_path / "pod" / "dataset").exists()


def test_an_imported_address_is_fetched_where_kubeflow_has_not(tmp_path: Path, shared: Path) -> None:
    from parfocal.adapters import storage

    made = folder(tmp_path / "made", "experience")
    storage.store(made, f"s3://{BUCKET}/parfocal/experiences/fundus/A/1")
    place = kubeflow.folder(dsl.Dataset(uri=f"s3://{BUCKET}/parfocal/experiences/fundus/A/1"))
    assert place.parent == tmp_path / "state" / "cache"
    assert manifest.verify(place).checksum == manifest.read(made).checksum


def test_an_experience_that_kubeflow_fetched_in_part_is_not_learned_from(tmp_path: Path) -> None:
    made = folder(tmp_path / "pod" / "experience", "experience")
    assert kubeflow.folder(artifact(made)) == made
    (made / "part 1" / "1.txt").unlink()
    with pytest.raises(DataContractError, match="a file is missing"):
        kubeflow.folder(artifact(made))


def test_a_purge_reaches_the_stored_memory(tmp_path: Path, shared: Path) -> None:
    place, made = shared / "artifacts" / "memory", tmp_path / "bundle"
    frames, masks = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.uint8)
    arrays = Arrays(frames, masks, ("a-1", "a-2"))
    Memory().with_exemplars("A", "disc", arrays, {"a-1": "anna", "a-2": "bert"}).write(place)
    bundle(made, place, place)
    kubeflow.storage_kept.store(place)
    shutil.rmtree(shared)
    done = CliRunner().invoke(command, ["purge", "--patient", "anna", str(made)], catch_exceptions=False)
    assert "1 pictures purged" in done.output
    shutil.rmtree(shared)
    kubeflow.storage_kept.fetch_memory(made)
    assert set(Memory.read(place).arrays("disc")["A"].case_ids) == {"a-2"}
