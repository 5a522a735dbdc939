"""A child and everything under it ends with its supervisor, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from parfocal.adapters.processes import Child, Processes, answers, free_port, port_is_free, wait_until
from parfocal.core.errors import OutsideServiceError

STUBBORN = """
import os, signal, subprocess, sys, time
code = "import signal as s, sys, time; s.signal(s.SIGTERM, s.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
deep = subprocess.Popen([sys.executable, "-c", code, sys.argv[1] + ".up"], start_new_session=True)
while not os.path.exists(sys.argv[1] + ".up"):
    time.sleep(0.01)
open(sys.argv[1] + ".tmp", "w").write(f"{os.getpid()} {deep.pid}")
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
{after}
"""
"""A program with a child of its own, in another session, that does not hear SIGTERM."""


def stubborn(mark: Path, after: str = "time.sleep(600)") -> list[str]:
    return [sys.executable, "-c", STUBBORN.replace("{after}", after), str(mark)]


def until(look: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def pids(mark: Path) -> list[int]:
    until(mark.exists)
    return [int(word) for word in mark.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended(child: Child) -> int | None:
    until(child.gone)
    return child.returncode


@pytest.fixture
def processes(tmp_path: Path) -> "Processes":
    with Processes(tmp_path / "logs") as made:
        yield made


def test_stop_ends_the_whole_tree_also_what_ignores_sigterm(processes: Processes, tmp_path: Path) -> None:
    child = processes.start("tree", stubborn(tmp_path / "mark"), grace=0.5)
    top, deep = pids(tmp_path / "mark")
    assert top == child.pid
    assert runs(deep)
    processes.stop("tree")
    assert not runs(top)
    assert not runs(deep)


def test_a_program_that_dies_takes_its_children_along(processes: Processes, tmp_path: Path) -> None:
    child = processes.start("tree", stubborn(tmp_path / "mark", "sys.exit(7)"), grace=0.5)
    _, deep = pids(tmp_path / "mark")
    until(child.gone)
    assert child.returncode == 7
    assert not runs(deep)


def test_runs_in_sessions_of_their_own_may_outlive_a_crash_but_never_the_stop(
    processes: Processes, tmp_path: Path
) -> None:
    child = processes.start("tree", stubborn(tmp_path / "mark"), grace=0.5, keep=True)
    top, deep = pids(tmp_path / "mark")
    os.kill(top, signal.SIGKILL)
    until(lambda: not child.alive())
    assert child.returncode == 128 + signal.SIGKILL
    time.sleep(0.3)
    assert runs(deep)
    child.stop()
    assert not runs(deep)


SUPERVISOR = """
import signal, sys, time
from pathlib import Path
for number in (signal.SIGHUP, signal.SIGINT):  # ignored where the tests run under nohup or in the background
    signal.signal(number, signal.SIG_DFL)
from parfocal.adapters.processes import Processes
processes = Processes(Path(sys.argv[1]))
processes.start("tree", sys.argv[2:], grace=0.5)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path, number: int) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path / "logs"), *stubborn(tmp_path / "mark")]
    )
    top, deep = pids(tmp_path / "mark")
    guard = psutil.Process(top).ppid()
    assert guard != supervisor.pid
    os.kill(supervisor.pid, number)
    supervisor.wait()
    until(lambda: not any(runs(pid) for pid in (guard, top, deep)))


def test_a_killed_guard_takes_its_program_along(processes: Processes) -> None:
    child = processes.start("sleep", ["sleep", "600"])
    psutil.Process(child.pid).parent().kill()
    until(lambda: not child.alive())
    until(lambda: not runs(child.pid))


def test_output_is_appended_line_by_line_as_it_was_written(processes: Processes, tmp_path: Path) -> None:
    for word in ("one", "two"):
        ended(processes.start("echo", ["sh", "-c", f"echo '  {word} é'; echo {word} >&2"]))
    assert (tmp_path / "logs" / "echo.log").read_text() == "  one é\none\n  two é\ntwo\n"


def test_a_program_that_dies_before_it_is_ready_says_why(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "bad.log").write_text("of an earlier start\n")
    child = processes.start("bad", ["sh", "-c", "echo cannot open the moon; exit 3"])
    with pytest.raises(OutsideServiceError, match=r"ended with code 3(?s:.*)cannot open the moon") as caught:
        wait_until(lambda: False, child, 60)
    assert caught.value.where == str(tmp_path / "logs" / "bad.log")
    assert caught.value.next
    assert "earlier" not in caught.value.what


def test_a_program_that_is_never_ready_is_given_up(processes: Processes) -> None:
    child = processes.start("slow", ["sleep", "600"])
    with pytest.raises(OutsideServiceError, match="not ready within 0 s"):
        wait_until(lambda: False, child, 0.2)
    assert child.alive()


def test_a_program_that_is_not_there_is_named(processes: Processes) -> None:
    with pytest.raises(OutsideServiceError, match=r"ghost cannot be started: .*no-such-program"):
        processes.start("ghost", ["no-such-program"])


def test_the_exit_code_of_a_program_that_ends_at_once_is_known(processes: Processes) -> None:
    """It was lost when the program ended before its guard had begun to watch."""
    assert [ended(processes.start("quick", ["sh", "-c", "exit 5"])) for _ in range(10)] == [5] * 10


def test_kill_does_not_wait_for_the_grace(processes: Processes, tmp_path: Path) -> None:
    child = processes.start("tree", stubborn(tmp_path / "mark"), grace=60)
    pids(tmp_path / "mark")
    begun = time.monotonic()
    child.stop(kill=True)
    assert time.monotonic() - begun < 30


def test_a_free_port_is_free_and_given_once(processes: Processes, tmp_path: Path) -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) == 20
    port = ports.pop()
    assert port_is_free(port)
    assert not answers(port, "/")
    server = processes.start("web", [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"])
    wait_until(lambda: answers(port, "/"), server, 60)
    assert not port_is_free(port)
    assert not answers(port, "/no-such-file")
