"""Stands between a supervisor and one program, so that the program and all it has started end with the supervisor.

Run as a file by `parfocal.adapters.processes`, not imported: it must be ready in a moment, so it loads nothing of this
package. It ends the program when its standard input closes or speaks, when its parent is gone, or when it is told to by
a signal. `kill -9` of the supervisor closes that input too, which is the case that no other way of cleaning up covers.

    guard.py PARENT GRACE end|keep COMMAND...

It says on its standard output: ``pid N`` once, or ``failed REASON`` when there is nothing to run; ``exited CODE``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

PDEATHSIG, CHILD_SUBREAPER = 1, 36
"""Of prctl(2), Linux alone: a signal when the parent dies; orphans further down become ours instead of init's."""
BEAT = 1.0
"""Seconds between looks at the parent, for the case that another process holds the other end of our input."""
LAST_WORD = 2.0
"""Seconds that programs get whose own parent has gone already."""


class Guard:
    """One program and everything under it."""

    def __init__(self, parent: int, grace: float, keep: bool, command: list[str]) -> None:
        self.parent, self.grace, self.keep, self.command = parent, grace, keep, command
        self.child = 0
        self.code: int | None = None
        self.told = self.announced = False

    def run(self) -> int:
        """Start the program, watch it, end what is left of it; its exit code (128 + N for a signal N)."""
        wake = self._signals()
        prctl = _prctl()
        prctl(CHILD_SUBREAPER, 1)
        try:
            # Kept: an object that is forgotten asks after its process, and the exit code would be lost here.
            self.program = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                stderr=sys.stderr,
                start_new_session=True,
                preexec_fn=lambda: prctl(PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 (one thread)
            )
        except OSError as error:
            _say(f"failed {error}")
            return 127
        self.child = self.program.pid
        _say(f"pid {self.child}")
        while not self._over(wake):
            pass
        self._end()
        return self.code or 0

    def _signals(self) -> int:
        """Signals become bytes of a pipe, so that one `select` hears everything."""
        wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._tell)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return wake

    def _tell(self, *_: object) -> None:
        self.told = True

    def _over(self, wake: int) -> bool:
        """Sleep until something happens; whether it is time to end."""
        ready, _, _ = select.select([0, wake], [], [], BEAT)
        if wake in ready:
            os.read(wake, 512)
        if 0 in ready:
            self.grace = 0.0 if os.read(0, 16) == b"kill" else self.grace
            self.told = True
        self._reap()
        if self.told or os.getppid() != self.parent:
            return True
        if self.code is None:
            return False
        if self.keep and not self.announced:
            self._end_session()
            self._announce()
        return not self.keep or not _tree()

    def _reap(self) -> None:
        """Collect everything that has ended here, the orphans too."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self.child:
                    self.code = _code(found[1])

    def _announce(self) -> None:
        if not self.announced:
            _say(f"exited {self.code}")
        self.announced = True

    def _end_session(self) -> None:
        """End the workers of a program that has gone, and spare what it had put into sessions of their own."""
        for process in _tree():
            with contextlib.suppress(OSError):
                if os.getsid(process) == self.child:
                    os.kill(process, signal.SIGKILL)

    def _end(self) -> None:
        """SIGTERM to the program, which knows best how to end its workers; then to who is left; then SIGKILL."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGTERM)
        self._wait(lambda: self.code is None, self.grace)
        _signal(_tree(), signal.SIGTERM)
        self._wait(_tree, min(LAST_WORD, self.grace))
        while left := _tree():
            _signal(left, signal.SIGKILL)
            self._wait(_tree, 0.1)
        self._reap()
        self._announce()

    def _wait(self, busy: Callable[[], object], seconds: float) -> None:
        until = time.monotonic() + seconds
        while busy() and time.monotonic() < until:
            time.sleep(0.02)
            self._reap()


def _tree() -> list[int]:
    """Everything under this process that is not a zombie."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _signal(processes: list[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _say(line: str) -> None:
    """Tell the supervisor, if it still listens."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def _prctl() -> Any:
    if sys.platform != "linux":
        return lambda *_: 0
    return ctypes.CDLL(None, use_errno=True).prctl


def main(words: list[str]) -> int:
    """See the head of this file."""
    return Guard(int(words[0]), float(words[1]), words[2] == "keep", words[3:]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
