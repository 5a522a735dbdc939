"""Two processes under torchrun teach a network what one does, by every strategy and for every objective of a step."""

import itertools
import math
from pathlib import Path

import learning_kit
import pytest
import several_processes_kit as kit

from parfocal import strategies
from parfocal.core.errors import UsageError
from parfocal.core.reporting import Silent
from parfocal.core.untracked import UntrackedRun
from parfocal.steps import pretrain, retrain, train

QUICK = ("retrain.train.steps=2", "retrain.train.validate_every=1", "retrain.train.checkpoint_every=1",
         "retrain.train.precision=32-true")  # fmt: skip
FIRST = tuple(setting.removeprefix("retrain.") for setting in QUICK)
CRITICS = {"adversarial": ("width=4",), "cycle": ("width=4", "blocks=1")}
DRAWN = ("derpp", "adversarial")
"""Each process draws what they compare from its own generator: more places of one step, and not the same ones."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parfocal.steps.learning.export_agreeing", lambda *_, **__: ({}, {}))
        learning_kit.first(made, "model.dropout=0")  # each process would draw its own
        learning_kit.second(made)
    return made


def compare(folder: Path, one: Path, two: Path, name: str) -> None:
    """Both processes' first step is one's: its loss and all gradients; the next differs by what Adam makes of that."""
    alone, both = kit.said(one, name), kit.said(two, name)
    assert alone.keys() == both.keys()
    assert "disc/loss@2" in alone
    for stage in ("disc", "cup"):
        assert both[f"{stage}/loss@1"] == pytest.approx(alone[f"{stage}/loss@1"], rel=1e-5), name
        assert both[f"{stage}/loss@2"] == pytest.approx(alone[f"{stage}/loss@2"], rel=1e-2), name
        ours, theirs = (kit.gradients(folder, out, name, stage) for out in (two, one))
        assert ours.keys() == theirs.keys()
        assert ours
        for parameter, slope in theirs.items():
            apart = float((ours[parameter] - slope).norm())  # a norm over each part's own pictures: half of it and more
            # A bias before a batch norm has no gradient but rounding.
            assert apart < 1e-2 * float(slope.norm()) + 1e-5, (name, parameter)


def test_a_retrain_by_two_takes_the_steps_of_one(folder: Path) -> None:
    cases = {"replay": (*QUICK, "retrain.selection=gradient-norm")}
    kit.by_two(folder, folder / "quick-two", cases)
    kit.by_one(folder, folder / "quick-one", cases)
    compare(folder, folder / "quick-one", folder / "quick-two", "replay")


@pytest.mark.slow
def test_every_strategy_and_objective_works_by_two(folder: Path) -> None:
    cases = {name: (*QUICK, f"retrain.strategy.name={name}") for name in strategies.FAMILY}
    for objective, own in CRITICS.items():
        settings = [f"train.objective.{setting}" for setting in (f"name={objective}", *own)]
        cases[objective] = (*QUICK, *(f"retrain.{setting}" for setting in settings))
        cases[f"first-{objective}"] = (*FIRST, *settings)
        cases[f"lwf-{objective}"] = (*cases[objective], "retrain.strategy.name=lwf")
    cases["first-interact"] = (*FIRST, "train.objective.name=interact")
    cases["patient"] = (*QUICK[1:], "retrain.train.steps=6", "retrain.train.patience=1")
    cases["hurried"] = (*QUICK, "retrain.train.seconds=0.3")
    kit.by_two(folder, folder / "two", cases)
    alone = [name for name in cases if name not in (*DRAWN, "bn_adapt", "patient", "hurried")]
    alone = [name for name in alone if "-" not in name]
    kit.by_one(folder, folder / "one", {name: cases[name] for name in alone})
    for name in cases:
        both = kit.said(folder / "two", name)
        assert "error" not in both, (name, both)
        assert (folder / "two" / name / "bundle.json").is_file(), name
        assert all(math.isfinite(value) for value in both.values()), (name, both)
        if name in alone:
            compare(folder, folder / "one", folder / "two", name)


@pytest.mark.parametrize(("step", "away"), list(itertools.product(("train", "retrain"), (True, False))))
def test_a_batch_that_processes_cannot_share_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, away: bool
) -> None:
    nowhere, settings = tmp_path / "nowhere", ["retrain.train.batch_size=6", "train.batch_size=6"]
    if away:
        settings += ["executor.name=trainjob", "executor.nodes=2", "executor.processes=2"]
    else:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "4")
    config = learning_kit.config(*settings)
    with pytest.raises(UsageError, match="a batch of 6 cannot be divided among 4 processes"):
        if step == "train":
            train.run(
                [nowhere], tmp_path / "out", tmp_path / "memory", config, state=tmp_path, key="k", run=UntrackedRun(),
                reporter=Silent(),
            )  # fmt: skip
        else:
            retrain.run(
                nowhere, nowhere, tmp_path / "out", tmp_path / "memory", config, state=tmp_path, key="k",
                run=UntrackedRun(), reporter=Silent(),
            )  # fmt: skip


def test_a_pretraining_is_for_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="pretraining is for one process"):
        pretrain.run(
            [tmp_path], tmp_path / "out", learning_kit.config(), state=tmp_path, key="k", run=UntrackedRun(),
            reporter=Silent(),
        )  # fmt: skip
