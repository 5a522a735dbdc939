"""A training that is killed, or finds its files damaged, ends with the weights of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "training_kit.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def start(work: Path, *extra: str) -> subprocess.Popen[str]:
    work.mkdir(exist_ok=True)
    command = [sys.executable, str(CHILD), str(work), *extra]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(work: Path, *extra: str) -> tuple[dict[str, Any], str]:
    out, err = (process := start(work, *extra)).communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads((work / "result-0.json").read_text()), out


def kill_after(work: Path, line: str) -> None:
    """SIGKILL as soon as the child has printed `line`."""
    process = start(work, "--pause", "0.02")
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.strip() == line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (work / "result-0.json").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finish(tmp_path_factory.mktemp("uninterrupted"))[0]


def test_a_training_killed_twice_ends_with_the_very_same_weights(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    for line in ("step 5", "step 17"):
        kill_after(tmp_path, line)
    resumed, out = finish(tmp_path)
    assert "goes on from step" in out
    assert resumed == uninterrupted


def test_a_damaged_checkpoint_is_noted_and_the_one_before_it_is_used(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    kill_after(tmp_path, "step 14")
    newest = sorted((tmp_path / "checkpoint").glob("step-*.safetensors"))[-1]
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    resumed, out = finish(tmp_path)
    assert "is damaged" in out
    assert "goes on from step 9" in out
    assert resumed == uninterrupted


def test_a_full_disk_says_so_and_leaves_the_earlier_checkpoints_whole(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    kill_after(tmp_path, "step 8")
    before = sorted(file.name for file in (tmp_path / "checkpoint").glob("step-*"))
    # A file may not grow beyond 4 KiB: the kernel's answer to a write is then as final as that of a full disk.
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    limit += f"sys.argv = ['child', {str(tmp_path)!r}]; runpy.run_path({str(CHILD)!r}, run_name='__main__')"
    full = subprocess.run([sys.executable, "-c", limit], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert full.returncode != 0
    assert "the disk is full" in full.stderr
    assert sorted(file.name for file in (tmp_path / "checkpoint").glob("step-*")) == before
    assert finish(tmp_path)[0] == uninterrupted


def test_two_processes_under_torchrun_agree_on_the_weights_and_one_alone_writes(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    launcher += ["--local-addr=127.0.0.1"]
    extra = ["--precision", "32-true"]
    done = subprocess.run(
        [*launcher, str(CHILD), str(tmp_path), *extra], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"result-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert done.stdout.count("step 24\n") == 1
    assert done.stdout.count("metrics 24\n") == 1

    alone, _ = finish(tmp_path / "alone", *extra)
    # Not equal: batch norm sees four pictures in each process, and eight alone.
    ours, theirs = first["history"][-1], alone["history"][-1]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.15)
