"""A run and a tracker that keep nothing, for whoever's results are kept in another way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from parfocal.core.protocols import Run


class UntrackedRun:
    """`parfocal.core.protocols.Run`."""

    id = ""

    def params(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def text(self, content: str, name: str) -> None: ...
    def dataset(self, folder: Path, context: str) -> None: ...


class Untracked:
    """`parfocal.core.protocols.Tracker`."""

    @contextmanager
    def run(self, name: str, *, key: str = "", tags: Mapping[str, str] | None = None) -> Iterator[Run]:  # noqa: ARG002
        yield UntrackedRun()
