"""`demo --annotate`: what waits for a person, and how little it takes to be told that they are done."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from parfocal.cli import demo as demo_package
from parfocal.cli.demo import byhand, people, play
from parfocal.cli.demo.findings import Arrival
from parfocal.cli.demo.settings import clicks_config, pictures
from parfocal.cli.demo.stage import Stage


class Standing:
    """A monitor whose instrument gets one more label each time it is asked."""

    def __init__(self, labels: int, run: bool) -> None:
        self.labels, self.run, self.asked = labels, run, 0

    def state(self) -> dict[str, Any]:
        self.asked += 1
        there = self.asked > self.labels and self.run
        runs = [{"instrument": "B", "run_id": "r", "state": "running"}] if there else []
        labelled = 0 if there else min(self.asked, self.labels)
        return {"instruments": [{"name": "B", "labelled": labelled}], "runs": runs}

    def wait(self, *_: object, **__: object) -> None: ...


def stage(out: Path, monitor: Standing, sent: list[int]) -> Stage:
    def stream(camera: object, number: int) -> list[None]:
        sent.append(number)
        return []

    made = Stage(out, SimpleNamespace(addresses={"monitor": "http://here"}))  # type: ignore[arg-type]
    made.monitor = monitor  # type: ignore[assignment]
    made.clinic = SimpleNamespace(stream=stream, seconds=[])  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(("labels", "run"), [(12, False), (9, True)])
def test_it_waits_until_the_labels_are_there_or_a_retrain_has_taken_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: int, run: bool
) -> None:
    monkeypatch.setattr(people, "LOOK", 0.0)
    monitor, sent = Standing(labels, run), list[int]()
    made = stage(tmp_path, monitor, sent)
    cast = SimpleNamespace(new="B", arrivals=None)
    people.label(made, cast, Arrival(7, {"appearance": 7}, "", 0.0), 12)  # type: ignore[arg-type]
    assert monitor.asked == (12 if not run else 10)
    assert sent == [29], "three photographs a label, of which seven had come"
    assert not byhand.experience(made, cast).exists(), "the trigger closes the experience"  # type: ignore[arg-type]


def test_without_an_alarm_the_run_by_hand_finds_what_was_labelled(tmp_path: Path) -> None:
    made = stage(tmp_path, Standing(12, run=False), [])
    cast = SimpleNamespace(new="B", arrivals=None)
    (tmp_path / "state/labelled/fundus/B").mkdir(parents=True)
    (tmp_path / "state/labelled/fundus/B/cases.csv").write_text("name\n")
    people.label(made, cast, Arrival(60, {}, "it stayed quiet", 0.0), 1)  # type: ignore[arg-type]
    assert (byhand.experience(made, cast) / "cases.csv").is_file()  # type: ignore[arg-type]


def test_the_services_keep_photographs_answer_clicks_and_start_with_the_number_that_was_asked(tmp_path: Path) -> None:
    told = play._environment(tmp_path / "run.json", 12, annotate=12)
    assert told["PARFOCAL_CAPTURE"] == "1"
    assert told["PARFOCAL_CLICKS_MODEL"] == str(tmp_path / people.CLICKS)
    assert '"minimum_cases": 12, "minimum_test": 6' in told["PARFOCAL_TRIGGER"]
    assert "PARFOCAL_CAPTURE" not in play._environment(tmp_path / "run.json", 12, annotate=0)


def test_the_model_that_answers_clicks_is_one_and_counts_in_the_estimate() -> None:
    assert clicks_config("A").train.objective.name == "interact"
    assert pictures("A", clicks=True) > pictures("A")


@pytest.mark.parametrize(("words", "labels"), [([], 0), (["--annotate"], 12), (["--annotate", "44"], 44)])
def test_how_many_labels_may_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], labels: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(play, "play", lambda out, folders, *, wait, annotate: asked.append(annotate))
    for name in (*demo_package.FOREIGN, "PARFOCAL_STATE"):
        monkeypatch.setenv(name, "x")
    done = CliRunner().invoke(demo_package.demo, ["--out", str(tmp_path / "demo"), "--no-wait", *words])
    assert (done.exit_code, asked) == (0, [labels]), done.output
    assert CliRunner().invoke(demo_package.demo, ["--annotate", "3"]).exit_code == 2
