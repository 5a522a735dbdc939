"""Where a step is done, and who of several processes is heard."""

from pathlib import Path

import data_kit
import learning_kit
import pytest

from parfocal.adapters import connect
from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.protocols import Reporter, Work
from parfocal.steps import elsewhere, train
from parfocal.steps.config import RunConfig

SENT = RunConfig.load(None, ["executor.name=trainjob", "executor.nodes=3", "train.batch_size=6"])


class Executor:
    def __init__(self) -> None:
        self.asked: list[Work] = []

    def execute(self, work: Work, reporter: Reporter) -> None:
        self.asked.append(work)
        with manifest.new_folder(Path(work.arguments[2]), "bundle"):
            pass


def do(folder: Path, config: RunConfig, executor: Executor | None) -> manifest.Manifest:
    return train.run(
        [folder / "a"], folder / "out", folder / "memory", config, state=folder / "state", key="k",
        run=learning_kit.Untracked(), reporter=data_kit.Notes(), executor=executor,
    )  # fmt: skip


def test_a_step_that_is_sent_away_is_not_done_here(tmp_path: Path) -> None:
    executor = Executor()
    assert do(tmp_path, SENT, executor).kind == "bundle"
    (work,) = executor.asked
    names = tuple(str(tmp_path / name) for name in ("a", "out", "memory"))
    assert work.arguments == (names[0], "--out", names[1], "--memory", names[2])
    assert (work.step, work.key, work.nodes, RunConfig.from_json(work.config)) == ("train", "k", 3, SENT)


def test_without_anybody_to_send_it_to_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody here can start a TrainJob"):
        do(tmp_path, SENT, None)


@pytest.mark.parametrize("config", [SENT, RunConfig()])
def test_what_was_sent_away_and_what_never_is_are_done_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    if config is SENT:
        monkeypatch.setenv(elsewhere.JOB, str(tmp_path))
    executor = Executor()
    with pytest.raises(Exception, match="no manifest"):
        do(tmp_path, config, executor)
    assert not executor.asked
    told = elsewhere.failure(tmp_path)
    assert (told is not None) == (config is SENT)


def test_only_the_first_process_is_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    with connect().tracker.run("train", key="k") as run:
        run.metrics({"loss": 1.0})
        assert run.id == ""
