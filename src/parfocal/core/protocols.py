"""What steps may ask of the world. `parfocal.adapters.connect` builds the real ones; tests pass their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from parfocal.core.types import Case, Problem


class Reader(Protocol):
    """Finds cases in one folder layout."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List the cases under `source` and the files that cannot be one; `workdir` is for files it must make."""
        ...


@dataclass(frozen=True, slots=True)
class Scan:
    """What a reader found: cases whose files exist, and a problem for every file that fits no case."""

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...] = ()
    unlabelled: tuple[Case, ...] = ()
    """Cases without any mask: they teach nothing, but they show what the instrument's images look like."""
    declared_splits: Mapping[str, str] | None = None
    """Case id to a split that the source itself declares; None when it declares none."""
    drawn_splits: Mapping[str, str] | None = None
    """Case id to a side for which its patient was drawn before it was labelled; None where nobody drew."""


class Reporter(Protocol):
    """Where long work says how far it is."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Called often, cheap to ignore; `done` of `total` units of `stage`."""
        ...

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Called a few times a run, with the numbers a person would want to see."""
        ...

    def note(self, message: str) -> None:
        """One sentence for a person."""
        ...


class Run(Protocol):
    """One tracked run; everything logged is attached to it."""

    @property
    def id(self) -> str: ...

    def params(self, values: Mapping[str, object]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, folder: str = "") -> None:
        """Attach a file, or a folder with all that is in it."""
        ...

    def text(self, content: str, name: str) -> None: ...

    def dataset(self, folder: Path, context: str) -> None:
        """Record a sealed dataset folder as an input; `context` is ``training`` or ``testing``."""
        ...


class Tracker(Protocol):
    """Opens tracked runs."""

    def run(self, name: str, *, key: str = "", tags: Mapping[str, str] | None = None) -> AbstractContextManager[Run]:
        """Open a run, or join the one that the environment or `key` already names. Failure is logged into it."""
        ...


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered bundle. `checksum` is the bundle's identity; `uri` is where its files are."""

    task: str
    version: str
    checksum: str
    uri: str
    aliases: tuple[str, ...]
    run_id: str = ""
    created: str = ""


class ModelStore(Protocol):
    """The registry of model bundles, one registered model a task."""

    def register(self, bundle: Path, task: str, *, tags: Mapping[str, str] | None = None) -> ModelVersion:
        """Register a sealed bundle; the same bundle (by checksum) a second time gives the same version."""
        ...

    def set_alias(self, task: str, alias: str, version: str) -> None: ...

    def get(self, task: str, version_or_alias: str) -> ModelVersion | None: ...

    def versions(self, task: str) -> Sequence[ModelVersion]:
        """All versions, oldest first."""
        ...

    def fetch(self, task: str, version_or_alias: str, into: Path) -> Path:
        """Copy a version's bundle folder under `into` (once; verified) and return it.

        Raises:
            DataContractError: there is no such version, or its files do not match its manifest.
            OutsideServiceError: the registry cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger. `hash` covers everything else and the previous entry's hash."""

    seq: int
    time: str
    kind: str
    task: str
    key: str
    body: Mapping[str, Any]
    previous: str
    hash: str


class Ledger(Protocol):
    """Append-only and hash-chained: which model answered on that day, who approved it, on what evidence."""

    def append(self, kind: str, task: str, key: str, body: Mapping[str, Any]) -> LedgerEntry:
        """Add an entry; the same (kind, task, key) a second time returns the first one unchanged."""
        ...

    def entries(self, task: str | None = None, kind: str | None = None) -> Sequence[LedgerEntry]:
        """Oldest first."""
        ...

    def verify(self) -> int:
        """Recompute the chain and return its length.

        Raises:
            DataContractError: an entry was changed, removed or put in; the message names its number.
        """
        ...


class Launcher(Protocol):
    """Starts a compiled pipeline somewhere and says how it is going."""

    def launch(self, pipeline: Path, arguments: Mapping[str, str], *, name: str) -> str:
        """Start it and return the run's id."""
        ...

    def state(self, run_id: str) -> str:
        """``pending``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A step to be done elsewhere, as ``parfocal <step> <arguments> --key <key>`` with these settings.

    Attributes:
        step: verb of the command line.
        arguments: the rest of its command line but for settings and key; folders as absolute paths.
        folders: those among the arguments, all of which whoever does it must see.
        config: canonical JSON of the settings.
        key: idempotency key.
        nodes: machines that do it together.
        processes: of each machine; None: one an accelerator, or one.
        state: folder of checkpoints.
    """

    step: str
    arguments: tuple[str, ...]
    folders: tuple[Path, ...]
    config: str
    key: str
    nodes: int
    processes: int | None
    state: Path


class Executor(Protocol):
    """Has a step done elsewhere, by the processes of several nodes."""

    def execute(self, work: Work, reporter: Reporter) -> None:
        """Have it done and return when it is. The same key finds the work that is under way already.

        Raises:
            ParfocalError: the step's own error, as it was raised there.
            OutsideServiceError: whoever was to do it failed, or cannot be reached.
        """
        ...


class CheckpointStore(Protocol):
    """Where checkpoints outlive the machine that wrote them, by the folder that they lie in here.

    Both raise OutsideServiceError when it cannot be reached; the same may be tried again.
    """

    def bring(self, folder: Path) -> None:
        """What is kept of this folder and of those below it comes here, beside what is here already."""
        ...

    def keep(self, folder: Path) -> None:
        """Keep the files of this folder, not of those below it, in the place of what was kept of it before.

        Ended at any moment, it leaves the checkpoint before or this one, and never half of one.
        """
        ...
