"""A disk that runs full: nothing that was finished is lost, nothing half written looks finished, and it can go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import data_kit
import learning_kit
import pytest

from parfocal.core import manifest

MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk cannot be mounted here: run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_preprocess_on_a_full_disk_leaves_nothing_and_succeeds_once_there_is_room(small_disk: Path) -> None:
    photos = data_kit.source(small_disk.parent / "photos", data_kit.patients(16))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (MEGABYTE - 40_000))
    with pytest.raises(OSError, match="No space left"):
        data_kit.dataset(photos, small_disk / "a")
    assert [entry.name for entry in small_disk.iterdir()] == ["ballast"]
    ballast.unlink()
    data_kit.dataset(photos, small_disk / "a")
    assert manifest.verify(small_disk / "a").kind == "dataset"


def test_training_on_a_full_disk_says_so_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    work = small_disk.parent
    data_kit.dataset(data_kit.source(work / "photos", data_kit.patients(16)), work / "a")
    (small_disk / "ballast").write_bytes(b"x" * (MEGABYTE - 8192))
    overrides = [word for pair in learning_kit.TINY for word in ("--set", pair)]
    command = [sys.executable, "-m", "parfocal", "train", str(work / "a"), "--out", str(work / "first"),
               "--set", "recipe.size=32", "--set", "data.instrument=A", *overrides]  # fmt: skip
    environment = {
        **os.environ,
        "PARFOCAL_STATE": str(small_disk),
        "MLFLOW_TRACKING_URI": f"sqlite:///{work}/mlflow.db",
    }
    full = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert full.returncode == 6, full.stderr
    assert "disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    assert not (work / "first").exists()
    (small_disk / "ballast").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert manifest.verify(work / "first").kind == "bundle"
