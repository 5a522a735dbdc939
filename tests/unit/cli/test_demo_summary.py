"""What the demo leaves behind: the summary, the exit, and what a person is told to run."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import promotion_kit
import pytest

from parfocal.adapters import local_platform
from parfocal.adapters.kubeflow import LocalLauncher
from parfocal.cli.console import Options
from parfocal.cli.demo import byhand, cameras, commands, opening, play, settings, view
from parfocal.cli.demo.cameras import Cast
from parfocal.cli.demo.findings import Arrival, Findings, Lesson, Run, Served, Swap, Traffic
from parfocal.cli.demo.stage import Stage
from parfocal.cli.demo.summary import summarise
from parfocal.cli.demo.traffic import Clinic, FolderCamera
from parfocal.core import manifest
from parfocal.core.errors import GateRefusedError, OutsideServiceError
from parfocal.core.scores import EVALUATION


@pytest.fixture(autouse=True)
def console() -> Iterator[None]:
    """A console of the test's own output; the program's has that of its first use."""
    view.console.cache_clear()
    yield
    view.console.cache_clear()


INTERVAL = {"estimate": 0.2, "low": 0.1, "high": 0.3, "level": 0.9}
CHECK = {"name": "gain", "instrument": "B", "structure": "disc", "value": 0.2, "limit": 0.0, "outcome": "promote"}


def decision(outcome: str) -> dict[str, Any]:
    checks = [{**CHECK, "interval": INTERVAL, "reason": "r"}, {**CHECK, "interval": None, "reason": "r"}]
    return {"outcome": outcome, "reason": "All conditions are met.", "checks": checks}


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    nobody = FolderCamera("A", [])
    return Cast("A", "7", tmp_path / "a", nobody, nobody, 60, nobody, nobody, (), simulated=True)


@pytest.fixture
def found(tmp_path: Path) -> Findings:
    """A finished demo: B was promoted."""
    outputs = {"outcome": "promote"}
    for kind in ("dataset", "bundle", "evaluation", "promotion"):
        with manifest.new_folder(tmp_path / "steps" / kind, kind) as folder:
            (folder / "report.html").write_text(f"<html>{kind}</html>")
        outputs[kind] = str(tmp_path / "steps" / kind)
    launched = datetime.fromisoformat(manifest.read(tmp_path / "steps" / "dataset").created).timestamp() - 50
    judged = promotion_kit.better("c" * 64, "a" * 64)
    return Findings(
        Served("1", "feed" * 16, "alertmanager"),
        Traffic(200, 0),
        Arrival(4, {"framing": 4, "appearance": 3}, "", ended=1000.0),
        Lesson(Run("k", "k", launched, outputs), judged, decision("promote"), Swap("2", 1.987, 1318.84), 287, 0),
        Traffic(60, 0),
    )


def clinic() -> Clinic:
    made = Clinic("http://127.0.0.1:9")
    made.versions.update({"1": 490, "2": 61})
    made.seconds.extend([0.05, 0.06, 0.2])
    made.failed.append("a.jpg: away")
    return made


def test_the_summary_has_what_was_promised(cast: Cast, found: Findings) -> None:
    summary = json.loads(json.dumps(summarise(cast, clinic(), {"images": 1.0, "initial": 2.0}, found)))
    assert set(summary) == {
        "instruments", "alarm", "trigger_path", "champion", "dice", "constant_mask", "gate", "swap", "requests",
        "alarm_to_champion", "phases",
    }  # fmt: skip
    assert summary["instruments"] == ["A", "7"]
    assert summary["alarm"] == {
        "instrument": "7", "observations_to_alarm": 3, "streams": {"framing": 4, "appearance": 3},
        "none_because": None, "new_cases": 4, "false_alarms": 0, "known_cases": 200, "alarms_after_promotion": 0,
    }  # fmt: skip
    assert summary["trigger_path"] == "alertmanager"
    assert summary["champion"] == {"before": "1", "after": "2"}
    assert set(summary["dice"]) == {"before", "after"}
    assert summary["dice"]["before"]["B"]["disc"] == pytest.approx(np.linspace(0.6, 0.7, 25).mean(), abs=1e-4)
    assert summary["dice"]["after"]["B"]["disc"] > summary["dice"]["before"]["B"]["disc"] + 0.19
    assert summary["gate"]["decision"] == "promote"
    assert [cell["interval"] for cell in summary["gate"]["intervals"]] == [INTERVAL]
    assert summary["swap"] == {"seconds": 1.99, "failed_requests": 0}
    assert summary["requests"] == {
        "answered": 551, "failed": 1, "by_version": {"1": 490, "2": 61}, "median_seconds": 0.06,
    }  # fmt: skip
    assert summary["alarm_to_champion"]["seconds"] == 318.8
    assert list(summary["alarm_to_champion"]["steps"]) == ["preprocess", "retrain", "evaluate", "promote"]
    assert summary["alarm_to_champion"]["steps"]["preprocess"] == 50
    assert summary["phases"] == {"images": 1.0, "initial": 2.0}


def test_a_retrain_that_no_alarm_started_says_so_in_the_summary(cast: Cast, found: Findings) -> None:
    silent = replace(found, arrival=Arrival(54, {}, "81 cases promise nothing", 1000.0))
    summary = summarise(cast, clinic(), {}, silent)
    assert summary["trigger_path"] == "by hand"
    assert summary["alarm"]["observations_to_alarm"] is None
    assert summary["alarm"]["none_because"] == "81 cases promise nothing"
    assert summary["alarm_to_champion"]["seconds"] is None


def refused(found: Findings, outcome: str) -> Findings:
    return replace(found, lesson=replace(found.lesson, decision=decision(outcome), swap=None), after=None)


def test_without_a_promotion_the_champion_stays_in_the_summary(cast: Cast, found: Findings) -> None:
    summary = summarise(cast, clinic(), {}, refused(found, "refuse"))
    assert summary["champion"] == {"before": "1", "after": "1"}
    assert summary["swap"] == {"seconds": None, "failed_requests": 0}
    assert summary["alarm"]["alarms_after_promotion"] is None


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> Any:
    """The demo with its scenes played already: what they found is what is given."""

    @contextmanager
    def platform(*_: object, **more: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(addresses={"segmenter": "http://127.0.0.1:9"}, told=more)

    def given(found: Findings) -> None:
        def scenes(stage: Stage, *_: object) -> Findings:
            stage.clinic = clinic()
            return found

        monkeypatch.setattr(play, "_scenes", scenes)

    monkeypatch.setattr(local_platform, "LocalPlatform", platform)
    monkeypatch.setattr(opening, "prepare", lambda *_: cast)
    monkeypatch.setattr(view, "minutes", lambda *_: 8.0)
    return given


def test_a_refusal_is_an_error_after_report_and_summary_are_written(
    acted: Any, found: Findings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acted(refused(found, "refuse"))
    with pytest.raises(GateRefusedError, match="7 was refused: All conditions") as raised:
        play.play(tmp_path, None, wait=False)
    assert raised.value.exit_code == 4
    assert json.loads((tmp_path / "summary.json").read_text())["gate"]["decision"] == "refuse"
    assert (tmp_path / "report.html").read_text() == "<html>evaluation</html>"


@pytest.mark.parametrize(("outcome", "asked"), [("inconclusive", True), ("promote", False)])
def test_only_an_inconclusive_gate_ends_with_the_command_of_an_approval(
    acted: Any, found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, asked: bool
) -> None:
    said: list[str] = []
    monkeypatch.setattr(view, "approval", said.append)
    acted(found if outcome == "promote" else refused(found, outcome))
    play.play(tmp_path, None, wait=False)
    assert bool(said) == asked
    assert all("--approve 'YOUR NAME'" in text and f"--challenger {tmp_path}/steps/bundle" in text for text in said)


def test_of_a_run_that_the_monitor_started_the_shown_command_is_the_monitors(tmp_path: Path) -> None:
    run = tmp_path / "state" / "runs" / "fundus-B-v1-1"
    run.mkdir(parents=True)
    (run / "request.json").write_text("{}")
    command = commands.approval(tmp_path, {}, "fundus-B-v1-1")
    assert "pipeline approve fundus-B-v1-1" in command
    assert "--by 'YOUR NAME' --reason 'WHY'" in command
    assert command.startswith(f"PARFOCAL_STATE={tmp_path / 'state'} ")


@pytest.mark.parametrize("labels", [1, 60])
def test_the_trigger_is_told_to_wait_for_every_label(labels: int) -> None:
    from parfocal.triggers.policy import TriggerConfig

    told = json.loads(play._environment(Path("run.json"), labels)["PARFOCAL_TRIGGER"])
    assert TriggerConfig(**told).labels_needed in (labels, 2)  # one case alone can be no test case and train too


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "my demo", SimpleNamespace())  # type: ignore[arg-type]


def serving(stage: Stage) -> None:
    folder = stage.state / "serving" / "fundus"
    folder.mkdir(parents=True)
    (folder / "current.json").write_text(json.dumps({"version": "1", "folder": "/bundles/one two"}))


def test_a_run_by_hand_gets_what_the_monitor_would_give_and_the_shown_command_the_same(
    stage: Stage, cast: Cast
) -> None:
    serving(stage)
    (stage.out / "run.json").write_text(settings.run_config().canonical_json())
    given = byhand.arguments(stage, cast, Served("1", "feedbeef" * 8, "monitor"))
    assert given["champion_uri"] == "/bundles/one two"
    assert given["idempotency_key"] == "fundus-7-v1-feedbeeffeed"
    words = shlex.split(commands.retrain(stage.out, given, cast.new).replace("\\\n", ""))
    assert words[0] == f"PARFOCAL_STATE={stage.state}"
    assert words[2:5] == ["pipeline", "run", "continual"]
    options = dict(zip(words[5::2], words[6::2], strict=True))
    assert options["--experience"] == given["experience_uri"] == str(byhand.experience(stage, cast))
    assert (options["--champion"], options["--key"]) == (given["champion_uri"], given["idempotency_key"])
    shown = Options(Path(options["--config"]), (options["--set"],), as_json=False, quiet=False)
    assert shown.config().canonical_json() == given["config"]
    assert json.loads(given["config"])["data"]["instrument"] == "7"


def test_without_a_fetched_champion_a_run_by_hand_is_an_error(stage: Stage, cast: Cast) -> None:
    with pytest.raises(OutsideServiceError, match="champion was not fetched"):
        byhand.arguments(stage, cast, Served("1", "", "monitor"))


class Launcher(LocalLauncher):
    """Whose runs are over at once."""

    left: dict[str, Any]

    def launch(self, pipeline: Path, arguments: Any, *, name: str) -> str:
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        (folder / "request.json").write_text(json.dumps(dict(arguments)))
        (folder / "state.json").write_text(json.dumps(self.left))
        return name


def test_a_run_by_hand_goes_through_the_launcher(stage: Stage, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from parfocal.adapters import kubeflow

    serving(stage)
    monkeypatch.setattr(kubeflow, "LocalLauncher", Launcher)
    Launcher.left = {"state": "succeeded", "outputs": {"outcome": "promote"}}
    run = byhand.run(stage, cast, served := Served("1", "feedbeef" * 8, "monitor"))
    assert (run.key, run.outputs) == ("fundus-7-v1-feedbeeffeed", {"outcome": "promote"})
    request = json.loads((stage.runs / run.run_id / "request.json").read_text())
    assert request == byhand.arguments(stage, cast, served)


def test_a_failed_pipeline_says_its_error_and_its_log_and_may_be_tried_again(
    stage: Stage, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parfocal.adapters import kubeflow

    serving(stage)
    monkeypatch.setattr(kubeflow, "LocalLauncher", Launcher)
    Launcher.left = {"state": "failed", "error": "the disk is full\n  where: /data"}
    with pytest.raises(OutsideServiceError, match="`continual` failed: the disk is full") as raised:
        byhand.run(stage, cast, Served("1", "feedbeef" * 8, "monitor"))
    assert raised.value.exit_code == 6
    assert raised.value.where == str(stage.runs / "fundus-7-v1-feedbeeffeed" / "output.log")


def test_the_labels_of_a_run_by_hand_are_laid_out_as_the_pipeline_reads_them(
    stage: Stage, cast: Cast, tmp_path: Path
) -> None:
    import data_kit

    from parfocal.readers.folder import FolderReader

    source = data_kit.source(tmp_path / "7", ["one", "two"])
    handed = replace(cast, labels=tuple(cameras._deliveries(source)))
    byhand.lay_out(stage, handed)
    cases = FolderReader().scan(byhand.experience(stage, handed), tmp_path, task="fundus", instrument="7").cases
    assert [(case.patient, sorted(case.masks)) for case in cases] == [
        ("one", ["cup", "disc"]),
        ("two", ["cup", "disc"]),
    ]


def test_the_scores_and_the_decision_are_read_where_the_pipeline_left_them(tmp_path: Path) -> None:
    judged = promotion_kit.better("c" * 64, "a" * 64)
    with manifest.new_folder(tmp_path / "evaluation", "evaluation") as folder:
        (folder / EVALUATION).write_text(judged.model_dump_json())
    (tmp_path / "promotion").mkdir()
    (tmp_path / "promotion" / "decision.json").write_text(json.dumps(decision("refuse")))
    outputs = {name: str(tmp_path / name) for name in ("evaluation", "promotion")}
    assert opening.read_outputs(outputs) == (judged, decision("refuse"))
