"""Which of several processes this one is, and what a step may do there. Loads no torch.

Under ``torchrun`` every process runs the same step on the same inputs: the networks need all of them, the folders that
a step writes need one. So the first process does what a single one would, and the others do the same into folders that
are thrown away, and tell nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from parfocal.core.protocols import CheckpointStore, Reporter, Run
from parfocal.core.reporting import Silent
from parfocal.core.untracked import UntrackedRun


def rank() -> int:
    """Number of this process among those that ``torchrun`` started on all nodes; 0 without it."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def world() -> int:
    """How many processes ``torchrun`` started on all nodes; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def follows() -> bool:
    """Whether another process is the first, which alone writes and reports."""
    return rank() > 0


@dataclass(frozen=True, slots=True)
class Part:
    """Where this process writes and whom it tells; `store`, of checkpoints: None where they are kept here alone."""

    out: Path
    memory: Path
    state: Path
    run: Run
    reporter: Reporter
    store: CheckpointStore | None = None


@contextmanager
def part(whole: Part) -> Iterator[Part]:
    """What of a step is this process's: `whole` in the first one; in the others folders that are gone afterwards."""
    if not follows():
        yield whole
        return
    with TemporaryDirectory(prefix=f"parfocal-{rank()}-") as name:
        scratch = Path(name)
        yield Part(scratch / "out", scratch / "memory", scratch / "state", UntrackedRun(), Silent())
