"""A first bundle and a second instrument's dataset, with networks that train in a second."""

from pathlib import Path
from typing import Any

import data_kit

from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Run
from parfocal.steps import retrain, train
from parfocal.steps.config import RunConfig

TINY = (
    "model.depth=2",
    "model.width=6",
    "train.steps=24",
    "train.batch_size=4",
    "train.validate_every=8",
    "train.learning_rate=0.01",
    "retrain.train.steps=12",
    "retrain.train.batch_size=4",
    "retrain.train.validate_every=6",
    "retrain.exemplars=4",
)


class Untracked:
    """A run that remembers."""

    id = "untracked"

    def __init__(self) -> None:
        self.logged: dict[str, float] = {}

    def params(self, values: Any) -> None: ...
    def metrics(self, values: Any, step: int | None = None) -> None:
        self.logged |= values

    def tags(self, values: Any) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def text(self, content: str, name: str) -> None: ...
    def dataset(self, folder: Path, context: str) -> None: ...


def config(*overrides: str, instrument: str = "A") -> RunConfig:
    return data_kit.config(*TINY, *overrides, instrument=instrument)


def first(folder: Path, *overrides: str, run: Run | None = None) -> Path:
    """A bundle of instrument A under `folder`/first, made once."""
    if not (folder / "first").exists():
        if not (folder / "a").exists():
            data_kit.dataset(data_kit.source(folder / "photos-a", data_kit.patients(16)), folder / "a")
        train.run(
            [folder / "a"],
            folder / "first",
            folder / "first-memory",
            config(*overrides),
            state=folder / "state",
            key="first",
            run=run or Untracked(),
            reporter=data_kit.Notes(),
        )
    return folder / "first"


def second(folder: Path, *, cups: bool = True) -> Path:
    """Dataset of instrument B, dealt as a new instrument of the first bundle."""
    if not (folder / "b").exists():
        photos = data_kit.source(folder / "photos-b", data_kit.patients(12, "q"), cups=cups, seed=7)
        data_kit.dataset(photos, folder / "b", instrument="B", champion=first(folder))
    return folder / "b"


def challenge(folder: Path, out: Path, *overrides: str, key: str = "next", run: Run | None = None) -> Manifest:
    """Retrain the first bundle on B."""
    return retrain.run(
        second(folder),
        first(folder),
        out,
        out.with_name(out.name + "-memory"),
        config(*overrides, instrument="B"),
        state=folder / "state",
        key=key,
        run=run or Untracked(),
        reporter=data_kit.Notes(),
    )
