"""However the demo ends, nothing of it goes on running, and a person is told where to read what happened."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from parfocal.cli.demo import view
from parfocal.core.errors import GateRefusedError

GRACE = 10.0
"""Seconds between a polite end and a forced one."""
INTERRUPTED = 130


@contextmanager
def tidy(out: Path) -> Iterator[None]:
    """Play the demo in this: SIGTERM is Ctrl-C, what it started and did not end is ended, the picture is saved.

    Raises:
        SystemExit: with 130, after Ctrl-C.
    """
    before = set(_children())
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            yield
        finally:
            end(before)
    except KeyboardInterrupt:
        view.line("\ninterrupted")
        view.logs(out)
        sys.exit(INTERRUPTED)
    except GateRefusedError:
        raise
    except BaseException:
        view.logs(out)
        raise
    finally:
        signal.signal(signal.SIGTERM, usual)
        view.save(out / "console.svg")


def end(spared: set[psutil.Process], grace: float = GRACE) -> None:
    """End what this process has started, and what that has started, but for `spared`.

    The services have ended by then, unless their end was interrupted; a pipeline that runs for this process has not.
    """
    left = [process for process in _children() if process not in spared]
    for how in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            try:
                how(process)
            except psutil.NoSuchProcess:
                continue
        _, left = psutil.wait_procs(left, timeout=grace)


def _children() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found
