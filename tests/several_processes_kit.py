"""Trainings in this process, which may be one of several: `torchrun several_processes_kit.py FOLDER OUT`.

FOLDER holds what `learning_kit.second` makes, and OUT/cases.json says what to do: name to settings. The first process
leaves OUT/<name> (a bundle) and OUT/<name>.json: what was logged in which step, or the error's sentence.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import data_kit
import learning_kit
import torch
from safetensors.torch import load_file

from parfocal.core.errors import ParfocalError
from parfocal.steps import train
from parfocal.training import place

ROOT = Path(__file__).parents[1]
Cases = Mapping[str, Sequence[str]]
"""Settings by name; one whose name begins with `first-` trains a first bundle, the others retrain one."""


class Steps(learning_kit.Untracked):
    """A run that remembers which step a number is of."""

    def metrics(self, values: Any, step: int | None = None) -> None:
        self.logged |= {f"{name}@{step}": value for name, value in values.items()}


def work(folder: Path, out: Path, cases: Cases) -> None:
    """Train once a case, in this process; networks as they are, without exports or drift references."""
    torch.set_num_threads(1)
    with (
        mock.patch("parfocal.steps.learning.export_agreeing", lambda *_, **__: ({}, {})),
        mock.patch("parfocal.steps.reference.write"),
    ):
        for name, settings in cases.items():
            run = Steps()
            try:
                (_first if name.startswith("first-") else _next)(folder, out, name, settings, run)
                told: dict[str, Any] = run.logged
            except ParfocalError as error:
                told = {"error": error.what}
            if not place.follows():
                (out / f"{name}.json").write_text(json.dumps(told))


def _first(folder: Path, out: Path, name: str, settings: Sequence[str], run: Steps) -> None:
    train.run(
        [folder / "a"], out / name, out / f"{name}-memory", learning_kit.config(*settings), state=out / "state",
        key=name, run=run, reporter=data_kit.Notes(),
    )  # fmt: skip


def _next(folder: Path, out: Path, name: str, settings: Sequence[str], run: Steps) -> None:
    learning_kit.challenge(folder, out / name, *settings, key=f"{out.name}-{name}", run=run)


def by_two(folder: Path, out: Path, cases: Cases) -> None:
    """`work` by two processes that compute together."""
    out.mkdir()
    (out / "cases.json").write_text(json.dumps(cases))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests")))
    done = subprocess.run(
        [*launcher, "--local-addr=127.0.0.1", __file__, str(folder), str(out)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def by_one(folder: Path, out: Path, cases: Cases) -> None:
    """`work` here."""
    out.mkdir()
    threads = torch.get_num_threads()
    try:
        work(folder, out, cases)
    finally:
        torch.set_num_threads(threads)


def said(out: Path, name: str) -> dict[str, Any]:
    """What was logged of a case."""
    return dict(json.loads((out / f"{name}.json").read_text()))


def gradients(folder: Path, out: Path, name: str, structure: str) -> dict[str, torch.Tensor]:
    """Of the first step, times 1 - beta1 = 0.1: Adam's mean in the checkpoint after it. By network and parameter."""
    place = folder / "state" / "checkpoints" / f"{out.name}-{name}" / structure / "step-00000001.safetensors"
    return {name: value for name, value in load_file(place).items() if name.endswith("/exp_avg")}


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), json.loads((Path(sys.argv[2]) / "cases.json").read_text()))
