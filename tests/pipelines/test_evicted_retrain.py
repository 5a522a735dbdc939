"""A spot node goes: the retrain's pod gets SIGTERM. It ends at once, its checkpoint is there, and the retry goes on."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import learning_kit
import pytest
from mlflow import MlflowClient

from parfocal.adapters import connect
from parfocal.core import manifest

PROGRAM = textwrap.dedent("""
    import sys
    import torch
    from kfp import dsl
    from parfocal_components.retrain.component import retrain
    torch.set_num_threads(1)
    dataset, champion, challenger, memory, config = sys.argv[1:]
    made = [dsl.Artifact(uri=place, metadata={}) for place in (dataset, champion, challenger, memory)]
    retrain.python_func(*made[:2], config, "spot", *made[2:])
""")
GRACE_SECONDS = 30
"""What a node that is shut down leaves a pod, as Kubernetes and the clouds have it by default."""


def attempt(root: Path) -> "subprocess.Popen[str]":
    config = learning_kit.config("retrain.train.checkpoint_every=2", "retrain.train.validate_every=2")
    places = [str(root / name) for name in ("b", "first", "challenger", "memory")]
    command = [sys.executable, "-c", PROGRAM, *places, config.canonical_json()]
    environment = {**os.environ, "PARFOCAL_STATE": str(root / "pods-state")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@pytest.mark.slow
def test_an_evicted_retrain_ends_at_once_and_its_retry_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    learning_kit.second(tmp_path)
    pod = attempt(tmp_path)
    assert pod.stdout is not None
    printed = next((line for line in pod.stdout if '"stage": "disc", "step": 6' in line), "")
    assert printed, "it ended before it was evicted"
    told = time.monotonic()
    pod.send_signal(signal.SIGTERM)
    pod.communicate()
    assert pod.returncode == -signal.SIGTERM
    assert time.monotonic() - told < GRACE_SECONDS / 3
    checkpoints = sorted((tmp_path / "pods-state" / "checkpoints" / "spot").rglob("step-*.safetensors"))
    assert checkpoints, "its checkpoint was written"
    assert not (tmp_path / "challenger").exists()

    again = attempt(tmp_path)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert "disc goes on from step" in said
    assert manifest.verify(tmp_path / "challenger", "bundle")
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "pods-state"))
    client = MlflowClient(connect().settings.mlflow_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("parfocal").experiment_id])
    assert run.info.status == "FINISHED", "both attempts are one run"
