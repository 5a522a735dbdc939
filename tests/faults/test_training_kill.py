"""A training that is killed, or finds its files damaged, ends with the weights of one that was left alone."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from training_kit import Log, discs

from parfocal import models
from parfocal.core.errors import OutsideServiceError
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit
from parfocal.training.eviction import EXIT_CODE
from parfocal.training.state import FitResult

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
    """SIGKILL once the child has printed `line`, after which it waits for nothing else."""
    process = start(work, "--hold", line.removeprefix("step "))
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


def test_a_training_killed_twice_ends_with_the_very_same_weights(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    for line in ("step 5", "step 17"):
        kill_after(tmp_path, line)
    resumed, out = finish(tmp_path)
    assert "goes on from step" in out
    assert resumed == uninterrupted


def test_a_training_told_to_end_keeps_the_very_step_it_was_in(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    with start(tmp_path, "--hold", "5", "--checkpoint-every", "100") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.strip() == "step 5")
        process.send_signal(signal.SIGTERM)  # while it is in the step's report: nothing is saved before the 100th
        process.send_signal(signal.SIGTERM)  # a launcher may pass on what its group has heard
        (tmp_path / "go").touch()
        said = process.stdout.read()
    assert process.returncode == EXIT_CODE == 143
    assert "note train: told to end (SIGTERM); the checkpoint of step 5 of 24 is written" in said
    assert "step 6" not in said
    kept = sorted(file.name for file in (tmp_path / "checkpoint").glob("*.json"))
    assert kept == ["step-00000000.json", "step-00000005.json"]
    resumed, out = finish(tmp_path, "--checkpoint-every", "100")
    assert "goes on from step 5 of 24" in out
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


def test_a_disk_that_fills_up_says_so_and_the_training_goes_on_once_there_is_room(tmp_path: Path) -> None:
    def train(folder: Path, reporter: Log) -> FitResult:
        config = TrainConfig(steps=8, batch_size=4, validate_every=4, checkpoint_every=2)
        sampler = Sampler([Source("a", discs(5, 1), 1.0)], config.batch_size, 0)
        model = models.build("unet", {"depth": 2, "width": 4, "increment": 1.5})
        validation = {"a": discs(3, 2)}
        return fit(
            model,
            sampler,
            Segment(SegmentSettings()),
            validation,
            config,
            checkpoint=folder,
            reporter=reporter,
            run=Log(),
        )

    class DiskFillsUp(Log):
        def progress(self, stage: str, done: int, total: int) -> None:
            if done == 5:  # no file may grow beyond 4 KiB: as final an answer as that of a full disk
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    torch.set_num_threads(1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutsideServiceError, match="the disk is full: the checkpoint of step 6") as error:
            train(tmp_path / "checkpoint", DiskFillsUp())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in error.value.next
    left = sorted(file.name for file in (tmp_path / "checkpoint").iterdir())
    assert left == [f"step-0000000{step}.{kind}" for step in (2, 4) for kind in ("json", "safetensors")]

    again = Log()
    resumed = train(tmp_path / "checkpoint", again)
    assert again.notes == ["train goes on from step 4 of 8"]
    alone = train(tmp_path / "other", Log())
    assert all(torch.equal(resumed.weights[name], value) for name, value in alone.weights.items())


def under_torchrun(work: Path, *extra: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    return [*launcher, "--local-addr=127.0.0.1", str(CHILD), str(work), *extra]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    work = tmp_path_factory.mktemp("two")
    command = under_torchrun(work, "--precision", "32-true")
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return work, done.stdout


def test_two_processes_under_torchrun_agree_on_the_weights_and_one_alone_writes(
    tmp_path: Path, by_two: tuple[Path, str]
) -> None:
    work, out = by_two
    first, second = (json.loads((work / f"result-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert out.count("step 24\n") == 1
    assert out.count("metrics 24\n") == 1
    # One process's result but for rounding, which Adam makes more of with every step.
    alone, _ = finish(tmp_path, "--precision", "32-true")
    for ours, theirs in zip(first["history"], alone["history"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=5e-3)


def test_a_training_that_loses_a_process_ends_and_goes_on_to_the_same_weights(
    tmp_path: Path, by_two: tuple[Path, str]
) -> None:
    arguments = ("--precision", "32-true", "--checkpoint-every", "5")
    with subprocess.Popen(
        under_torchrun(tmp_path, *arguments, "--hold", "12"), env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as launcher:  # fmt: skip
        assert launcher.stdout is not None
        next(line for line in launcher.stdout if line.strip() == "step 12")
        (second,) = (one for one in psutil.Process(launcher.pid).children() if one.environ().get("RANK") == "1")
        second.kill()
        (tmp_path / "go").touch()
        launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert not (tmp_path / "result-0.json").exists()
    done = subprocess.run(
        under_torchrun(tmp_path, *arguments), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("goes on from step 10 of 24") == 1
    assert json.loads((tmp_path / "result-0.json").read_text()) == json.loads((by_two[0] / "result-0.json").read_text())


@pytest.mark.slow
def test_two_processes_end_after_the_same_step_when_one_is_told(tmp_path: Path) -> None:
    arguments = ("--precision", "32-true", "--checkpoint-every", "100")
    with subprocess.Popen(
        under_torchrun(tmp_path, *arguments, "--hold", "12"), env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as launcher:  # fmt: skip
        assert launcher.stdout is not None
        next(line for line in launcher.stdout if line.strip() == "step 12")
        (second,) = (one for one in psutil.Process(launcher.pid).children() if one.environ().get("RANK") == "1")
        second.terminate()  # its node goes; the first process hears of it from the second alone
        (tmp_path / "go").touch()
        said, _ = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    (step,) = (line.split("step ")[1].split()[0] for line in said.splitlines() if "told to end" in line)
    assert 12 <= int(step) <= 14
    assert sorted((tmp_path / "checkpoint").glob("*.json"))[-1].stem == f"step-{int(step):08d}"
    assert not list(tmp_path.glob("result-*"))
