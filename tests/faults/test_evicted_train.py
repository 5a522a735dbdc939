"""`parfocal train` on a node that is taken away: its step is kept, and the same command ends with the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import data_kit
import learning_kit
import pytest

from parfocal.core import manifest
from parfocal.training.eviction import EXIT_CODE


@pytest.mark.slow
def test_an_evicted_train_goes_on_from_the_step_it_was_in(tmp_path: Path) -> None:
    data_kit.dataset(data_kit.source(tmp_path / "photos", data_kit.patients(16)), tmp_path / "a")
    settings = (
        *learning_kit.TINY,
        "recipe.size=32",
        "data.instrument=A",
        "export.runtimes=[]",
        "train.validate_every=2",
    )
    overrides = [word for setting in settings for word in ("--set", setting)]
    environment = {
        **os.environ,
        "PARFOCAL_STATE": str(tmp_path / "state"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }

    def start(name: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "parfocal", "train", str(tmp_path / "a"), "--out", str(tmp_path / name)]
        return subprocess.Popen(
            [*command, "--key", name, *overrides], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def finished(name: str) -> str:
        said = (process := start(name)).communicate()[1]
        assert process.returncode == 0, said
        return said

    with start("evicted") as process:
        assert process.stderr is not None
        next(line for line in process.stderr if '"stage": "disc", "step": 6' in line)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == EXIT_CODE, said
    assert "Traceback" not in said
    assert "disc: told to end (SIGTERM)" in said
    assert not (tmp_path / "evicted").exists()
    files = (tmp_path / "state" / "checkpoints" / "evicted" / "disc").glob("step-*.json")
    kept = max(int(file.stem.removeprefix("step-")) for file in files)
    assert 6 <= kept < 24, "no other checkpoint is due in half a minute"
    assert f"disc goes on from step {kept} of 24" in finished("evicted")
    finished("whole")
    for structure in ("disc", "cup"):
        name = f"{structure}/weights.safetensors"
        assert manifest.verify(tmp_path / "evicted").files[name] == manifest.verify(tmp_path / "whole").files[name]
