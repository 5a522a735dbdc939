import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kfp import compiler, dsl

from parfocal.adapters import kubeflow_local
from parfocal.adapters.kubeflow_local import LocalLauncher, run_local
from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError, UsageError


@dsl.component(base_image="parfocal/test", install_kfp_package=False)
def write(word: str, out: dsl.Output[dsl.Artifact]) -> str:
    from pathlib import Path

    from parfocal.core.reporting import JsonLines

    JsonLines().note(f"writing {word}")
    JsonLines().epoch("disc", 5, {"dice": 0.5})
    Path(out.path).write_text(word)
    return word.upper()


@dsl.component(base_image="parfocal/test", install_kfp_package=False)
def fail(word: str):
    from parfocal.core import errors

    if word == "data":
        raise errors.DataContractError("2 files are bad:\n    a.png", where="a.png", expected="a mask", next="mend it")
    if word == "outside":
        raise errors.OutsideServiceError("MLflow is down")
    if word == "bug":
        raise ZeroDivisionError("a bug")


@dsl.component(base_image="parfocal/test", install_kfp_package=False)
def wait(file: str):
    import time
    from pathlib import Path

    Path(file).with_suffix(".started").touch()
    while not Path(file).exists():
        time.sleep(0.02)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    @dsl.pipeline(name="words")
    def pipeline(config: str, word: str) -> str:
        written = write(word=word)
        fail(word=word).after(written).set_retry(2, "600s")
        return written.outputs["Output"]

    file = tmp_path_factory.mktemp("compiled") / "words.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    @dsl.pipeline(name="waiting")
    def pipeline(file: str):
        wait(file=file)

    file = tmp_path_factory.mktemp("compiled") / "waiting.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


class Heard:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.epochs: list[tuple[str, int, dict[str, float]]] = []

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self.epochs.append((stage, step, dict(values)))

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_compiled_pipeline_runs_and_gives_its_outputs(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    done = run_local(words, {"word": "hello"}, tmp_path, reporter=heard)
    assert done.outputs == {"Output": "HELLO"}
    assert (done.pipeline, capsys.readouterr().out) == ("words", "")
    assert heard.notes == ["step write", "writing hello", "step fail"]
    assert heard.epochs == [("disc", 5, {"dice": 0.5})]
    assert [file.read_text() for file in tmp_path.glob("*/write/out")] == ["hello"]


def test_a_failed_step_raises_its_own_error_with_the_log_and_without_retries(words: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DataContractError) as raised:
        run_local(words, {"word": "data"}, tmp_path)
    error = raised.value
    assert error.what == "step 'fail' failed: 2 files are bad:\n    a.png"
    assert (error.where, error.expected) == ("a.png", "a mask")
    (log,) = tmp_path.glob("*.log")
    assert error.next == f"mend it; all it printed is in {log}"
    assert "DataContractError" in log.read_text()
    assert time.monotonic() - started < 400, "a retry after ten minutes was waited for"


def test_a_service_that_is_down_stays_retryable(words: Path, tmp_path: Path) -> None:
    with pytest.raises(OutsideServiceError, match="step 'fail' failed: MLflow is down"):
        run_local(words, {"word": "outside"}, tmp_path)


def test_a_bug_in_a_step_is_an_error_with_the_last_lines(words: Path, tmp_path: Path) -> None:
    with pytest.raises(ParfocalError, match="ZeroDivisionError: a bug") as raised:
        run_local(words, {"word": "bug"}, tmp_path)
    assert type(raised.value) is ParfocalError
    assert Path(raised.value.where).is_file()


@pytest.mark.parametrize("arguments", [{}, {"word": ""}, {"word": "a", "other": "b"}])
def test_wrong_arguments_are_refused_before_anything_runs(
    words: Path, tmp_path: Path, arguments: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="wrong arguments"):
        run_local(words, arguments, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: b\n")
    for path in (file, tmp_path / "absent.yaml"):
        with pytest.raises(UsageError, match="not a compiled pipeline"):
            run_local(path, {}, tmp_path)


def until(said: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_launched_run_is_known_to_a_launcher_that_was_restarted(words: Path, tmp_path: Path) -> None:
    run_id = LocalLauncher(tmp_path).launch(words, {"word": "hello"}, name="continual/b 1")
    assert re.fullmatch("continual-b-1-[0-9a-f]{8}", run_id), "another name never has the same folder"
    again = LocalLauncher(tmp_path)
    until(lambda: again.state(run_id) == "succeeded")
    assert again.result(run_id)["outputs"] == {"Output": "HELLO"}
    with pytest.raises(UsageError, match="no run"):
        again.state("another")


def test_names_that_differ_in_a_space_are_two_runs(words: Path, tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path)
    runs = [launcher.launch(words, {"word": word}, name=f"b{word}1") for word in ("-", " ")]
    for run_id, word in zip(runs, ("-", " "), strict=True):
        until(lambda run_id=run_id: launcher.state(run_id) == "succeeded")
        assert launcher.result(run_id)["outputs"] == {"Output": word}


def test_a_failed_run_keeps_its_error_and_can_be_launched_again(words: Path, tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path)
    launcher.launch(words, {"word": "data"}, name="b")
    until(lambda: launcher.state("b") == "failed")
    assert (launcher.result("b")["exit_code"], "2 files are bad" in launcher.result("b")["error"]) == (3, True)
    launcher.launch(words, {"word": "hello"}, name="b")
    until(lambda: launcher.state("b") == "succeeded")


def test_a_name_that_runs_or_has_succeeded_is_not_started_again(waiting: Path, tmp_path: Path) -> None:
    launcher, file = LocalLauncher(tmp_path), tmp_path / "go"
    launcher.launch(waiting, {"file": str(file)}, name="b")
    until(file.with_suffix(".started").exists)
    pid = launcher.result("b")["pid"]
    LocalLauncher(tmp_path).launch(waiting, {"file": str(file)}, name="b")
    assert launcher.state("b") == "running"
    file.touch()
    until(lambda: launcher.state("b") == "succeeded")
    launcher.launch(waiting, {"file": str(file)}, name="b")
    assert (launcher.state("b"), launcher.result("b")["pid"]) == ("succeeded", pid)


@pytest.mark.parametrize(("how", "state"), [(signal.SIGKILL, "failed"), (signal.SIGTERM, "cancelled")])
def test_a_run_that_was_killed_is_not_running_for_ever(waiting: Path, tmp_path: Path, how: int, state: str) -> None:
    # The launcher is a process of its own here, and gone by the time of the kill: nobody has waited for the run.
    file = tmp_path / "go"
    program = "import sys; from pathlib import Path; from parfocal.adapters.kubeflow_local import LocalLauncher\n"
    program += "LocalLauncher(Path(sys.argv[1])).launch(Path(sys.argv[2]), {'file': sys.argv[3]}, name='b')"
    subprocess.run([sys.executable, "-c", program, str(tmp_path), str(waiting), str(file)], check=True)
    launcher = LocalLauncher(tmp_path)
    until(file.with_suffix(".started").exists)
    pid = json.loads((tmp_path / "b" / "state.json").read_text())["pid"]
    assert launcher.state("b") == "running"
    os.kill(pid, how)
    until(lambda: launcher.state("b") == state)
    file.touch()
    launcher.launch(waiting, {"file": str(file)}, name="b")
    until(lambda: launcher.state("b") == "succeeded")


def test_who_looks_at_a_run_keeps_nobody_from_seeing_that_it_is_over_or_from_starting_it(
    words: Path, tmp_path: Path
) -> None:
    launcher = LocalLauncher(tmp_path)
    launcher.launch(words, {"word": "data"}, name="b")
    until(lambda: launcher.state("b") == "failed")
    with (tmp_path / "b" / kubeflow_local.LOCK).open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        assert launcher.state("b") == "failed"
        gone = threading.Timer(0.3, fcntl.flock, (look, fcntl.LOCK_UN))
        gone.start()
        launcher.launch(words, {"word": "hello"}, name="b")
        gone.join()
    until(lambda: launcher.state("b") == "succeeded")
