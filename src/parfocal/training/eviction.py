"""SIGTERM in a training: a machine that is taken away, such as a spot node, says so and leaves half a minute.

The step that is under way is finished, its checkpoint is written, and only then the process ends: the next attempt
goes on from that very step.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from lightning_fabric import Fabric

from parfocal.training import distributed

EXIT_CODE = 128 + signal.SIGTERM
"""Of a process that ends for it, as a shell would say."""
NOTE = "{}: told to end (SIGTERM); the checkpoint of step {} of {} is written, and the same command goes on from it"
ASKED_EVERY = 4
"""Steps on a GPU between two times that several processes ask one another: the answer makes each wait for its GPU."""


class Eviction:
    """Whether a training is to end before it is done.

    Args:
        fabric: of the processes that train together: one that is told takes all with it.
        heeded: False where no checkpoint is kept: then the signal does what it did before. The same in all processes.
    """

    def __init__(self, fabric: Fabric, *, heeded: bool) -> None:
        self._fabric, self._heeded, self._told = fabric, heeded, False
        self._before: Any = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While the block lasts the signal is remembered; what came too late for `asks` ends the process after it.

        Outside the main thread nobody hears signals, and who was told to ignore it goes on doing so.
        """
        before = signal.getsignal(signal.SIGTERM)
        main = threading.current_thread() is threading.main_thread()
        if not self._heeded or not main or before in (None, signal.SIG_IGN):
            yield
            return
        self._before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, self._before)
        if self._told:
            self.leave()

    def asks(self, step: int) -> bool:
        """Whether all processes are to end after `step` steps. All of them must ask, at the same steps."""
        if not self._heeded or self._fabric.world_size == 1:
            return self._told
        every = ASKED_EVERY if self._fabric.device.type == "cuda" else 1
        return step % every == 0 and distributed.anywhere(self._fabric, self._told)

    def leave(self) -> NoReturn:
        """End as whoever listened before would have it, else with `EXIT_CODE`; files and runs are closed on the way.

        Raises:
            SystemExit: or what the earlier listener raises.
        """
        if callable(self._before):
            self._before(signal.SIGTERM, None)
        raise SystemExit(EXIT_CODE)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._told = True
