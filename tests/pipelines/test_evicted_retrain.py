"""A spot node goes: the retrain's pod gets SIGTERM, writes the checkpoint of its step and ends; the retry goes on."""

import itertools
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
from parfocal.training.eviction import EXIT_CODE

PROGRAM = textwrap.dedent("""
    import sys
    import torch
    from kfp import dsl
    from parfocal_components.retrain.component import retrain
    torch.set_num_threads(1)
    dataset, champion, challenger, memory, config = sys.argv[1:]
    made = [dsl.Artifact(uri=place, metadata={}) for place in (dataset, champion, challenger, memory)]
    shown = [kind(uri=f"{challenger}-shown/{kind.__name__}", metadata={}) for kind in (dsl.Metrics, dsl.Markdown)]
    retrain.python_func(*made[:2], config, "spot", *made[2:], *shown)
""")
GRACE_SECONDS = 30
"""What a node that is shut down leaves a pod, as Kubernetes and the clouds have it by default."""


def attempt(root: Path) -> "subprocess.Popen[str]":
    config = learning_kit.config("retrain.train.validate_every=2")
    places = [str(root / name) for name in ("b", "first", "challenger", "memory")]
    command = [sys.executable, "-c", PROGRAM, *places, config.canonical_json()]
    environment = {**os.environ, "PARFOCAL_STATE": str(root / "pods-state")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


@pytest.mark.slow
def test_an_evicted_retrain_keeps_its_step_for_its_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL", "PARFOCAL_SHARED"):
        monkeypatch.delenv(name, raising=False)
    learning_kit.second(tmp_path)
    pod = attempt(tmp_path)
    assert pod.stdout is not None
    before = list(itertools.takewhile(lambda line: '"stage": "disc", "step": 6' not in line, pod.stdout))
    assert pod.poll() is None, f"it ended before it was evicted: {before}"
    told = time.monotonic()
    pod.send_signal(signal.SIGTERM)
    said = pod.communicate()[0]
    assert pod.returncode == EXIT_CODE, said
    assert "told to end (SIGTERM)" in said
    assert time.monotonic() - told < GRACE_SECONDS / 3
    checkpoints = sorted((tmp_path / "pods-state" / "checkpoints" / "spot").rglob("step-*.safetensors"))
    kept = [int(file.stem.removeprefix("step-")) for file in checkpoints if file.parent.name == "disc"]
    assert 6 <= max(kept) < 12, "its checkpoint was written; no other is due before the end"
    assert not (tmp_path / "challenger").exists()

    again = attempt(tmp_path)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert f"disc goes on from step {max(kept)}" in said
    assert manifest.verify(tmp_path / "challenger", "bundle")
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "pods-state"))
    client = MlflowClient(connect().settings.mlflow_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("parfocal").experiment_id])
    assert run.info.status == "FINISHED", "both attempts are one run"
