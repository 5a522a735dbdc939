"""Bundles that find what is bright, without training: they answer through a runtime that only tests know.

A network's file holds the grey level (0 to 1) at and above which a pixel belongs to its structure.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, DatasetRef, Exported, StructureModel
from parfocal.core.protocols import LedgerEntry
from parfocal.inference import runtimes
from parfocal.preprocessing.shards import read_dataset
from parfocal.promotion.ledger import next_entry

NAME = "bright"


class Bright:
    """The runtime: a pixel's probability grows with its mean over colours."""

    file = "level.txt"

    def __init__(self, folder: Path) -> None:
        self._level = float((folder / self.file).read_text())

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return np.clip((batch.mean(1, keepdims=True) - self._level) * 8 + 0.5, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def bright() -> Iterator[None]:
    """Make the runtime known to the tests of one module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runtimes.FAMILY._builtin, NAME, f"{__name__}:Bright")
        yield


def write_bundle(
    out: Path, levels: Mapping[str, float], *datasets: Path, instruments: Sequence[str] = (), agreement: float = 0.9993
) -> Path:
    """A sealed bundle of such networks, disc first, that answers for these datasets."""
    read = [read_dataset(folder) for folder in datasets]
    spec = Bundle(
        task="fundus",
        structures={
            name: StructureModel(
                folder=name,
                inside="disc" if name == "cup" else None,
                runtimes={NAME: Exported(file=Bright.file, agreement=agreement)},
            )
            for name in levels
        },
        recipe=read[0].recipe.model_dump(mode="json"),
        instruments=tuple(instruments) or tuple(dict.fromkeys(one.instrument for one in read)),
        datasets=tuple(
            DatasetRef(instrument=one.instrument, uri=str(folder), checksum=manifest.read(folder).checksum)
            for one, folder in zip(read, datasets, strict=True)
        ),
    )
    with manifest.new_folder(out, "bundle") as scratch:
        (scratch / BUNDLE).write_text(spec.model_dump_json())
        for name, level in levels.items():
            (scratch / name).mkdir()
            (scratch / name / Bright.file).write_text(str(level))
    return out


class Ledger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.made: list[LedgerEntry] = []

    def append(self, kind: str, task: str, key: str, body: Mapping[str, object]) -> LedgerEntry:
        self.made.append(next_entry(self.made[-1] if self.made else None, "t", kind, task, key, body))
        return self.made[-1]

    def entries(self, task: str | None = None, kind: str | None = None) -> list[LedgerEntry]:
        return [entry for entry in self.made if task in (None, entry.task) and kind in (None, entry.kind)]

    def verify(self) -> int:
        return len(self.made)
