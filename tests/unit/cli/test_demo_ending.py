"""However the demo ends: nothing goes on running, earlier demos stay, and mistakes are said before anything starts."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from parfocal.cli.demo import _folders, _fresh, ending, view
from parfocal.core.errors import GateRefusedError, OutsideServiceError, UsageError


@pytest.fixture(autouse=True)
def console() -> Iterator[None]:
    """A console of the test's own output; the program's has that of its first use."""
    view.console.cache_clear()
    yield
    view.console.cache_clear()


PLAY = """
import signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from parfocal.cli import demo
from parfocal.cli.demo import ending
from parfocal.core.errors import OutsideServiceError

out = Path(sys.argv[1])
(out / "state" / "logs").mkdir(parents=True)
with ending.tidy(out):
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    print(child.pid, flush=True)
    if sys.argv[2] == "fail":
        sys.stdin.read()  # until the child's number was read, and so who it is
        raise OutsideServiceError("the pipeline failed")
    time.sleep(60)
"""


def playing(out: Path, how: str) -> "tuple[subprocess.Popen[str], psutil.Process]":
    """A demo in a process of its own, with a child in another session."""
    demo = subprocess.Popen(
        [sys.executable, "-c", PLAY, str(out), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert demo.stdout
    return demo, psutil.Process(int(demo.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_what_was_started_and_says_where_the_logs_are(tmp_path: Path, number: signal.Signals) -> None:
    demo, child = playing(tmp_path, "wait")
    demo.send_signal(number)
    printed, errors = demo.communicate(timeout=90)
    assert demo.returncode == 130
    assert not child.is_running()
    assert "interrupted" in printed
    assert str(tmp_path / "state" / "logs") in printed
    assert "Traceback" not in errors
    assert "interrupted" in (tmp_path / "console.svg").read_text()


def test_a_failure_ends_what_was_started_and_says_where_the_logs_are(tmp_path: Path) -> None:
    demo, child = playing(tmp_path, "fail")
    printed, errors = demo.communicate(timeout=90)
    assert not child.is_running()
    assert str(tmp_path / "state" / "logs") in printed
    assert "OutsideServiceError: the pipeline failed" in errors


def test_what_ran_before_is_spared_and_what_will_not_end_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    before = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        spared = set(psutil.Process().children(recursive=True))
        mine = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
        assert mine.stdout
        mine.stdout.readline()
        process, began = psutil.Process(mine.pid), time.monotonic()
        ending.end(spared, grace=0.2)
        assert 0.2 <= time.monotonic() - began < 60, "it would sleep for ten minutes"
        assert not process.is_running()
        assert before.poll() is None
        mine.stdout.close()
    finally:
        before.kill()
        before.wait()


def test_a_refusal_is_no_failure_and_points_at_no_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GateRefusedError), ending.tidy(tmp_path):
        raise GateRefusedError("no")
    assert "logs" not in capsys.readouterr().out
    assert (tmp_path / "console.svg").exists()


def test_the_handler_of_sigterm_is_put_back(tmp_path: Path) -> None:
    usual = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OutsideServiceError), ending.tidy(tmp_path):
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        raise OutsideServiceError("away")
    assert signal.getsignal(signal.SIGTERM) is usual


def test_an_earlier_demo_is_moved_aside_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs" / "demo"
    assert _fresh(out) == out
    assert list(tmp_path.rglob("*")) == [out.parent, out]
    assert _fresh(out) == out  # an empty folder is used as it is
    (out / "state").mkdir()
    (out / "state" / "token").write_text("x")
    _fresh(out)
    assert list(out.iterdir()) == []
    aside = next(folder for folder in out.parent.iterdir() if folder != out)
    assert (aside / "state" / "token").read_text() == "x"
    assert str(aside) in capsys.readouterr().out


def test_two_demos_within_a_second_are_both_kept(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    for number in range(3):
        (_fresh(out) / "number").write_text(str(number))
    kept = sorted((folder / "number").read_text() for folder in tmp_path.iterdir())
    assert kept == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("data", "new", "says"),
    [
        ("a/photos", None, "go together"),
        (None, "b", "go together"),
        ("a/photos", "b/Photos", "both folders are called"),
        ("a/photos", "b/caméra:2", "cannot be an instrument's name"),
    ],
)
def test_folders_that_cannot_be_two_instruments_are_refused(data: str | None, new: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        _folders(data and Path(data), new and Path(new))  # type: ignore[arg-type]


def test_two_folders_become_absolute_and_none_means_simulated() -> None:
    assert _folders(None, None) is None
    assert _folders(Path("a"), Path("b")) == (Path.cwd() / "a", Path.cwd() / "b")
