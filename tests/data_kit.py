"""Sources in the folder layout with small pictures, and the datasets and bundles that are made of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, DatasetRef
from parfocal.core.manifest import Manifest
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import preprocess
from parfocal.steps.config import RunConfig


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def progress(self, stage: str, done: int, total: int) -> None:
        self.steps.append((done, total))

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


def picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A photograph with a bright disc, BGR, that no other seed makes."""
    image = np.random.default_rng(seed).integers(30, 90, (height, width, 3), np.uint8)
    cv2.circle(image, (width // 2, height // 2), 12, (90, 160, 210), -1)
    return image


def circle(radius: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A mask 0 and 255."""
    return cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), radius, 255, -1)


def write(file: Path, pixels: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), pixels)
    return file


def source(folder: Path, names: Iterable[str], *, cups: bool = True, seed: int = 0) -> Path:
    """A valid source: a picture a name, disc and cup; pictures differ by `seed` and place."""
    for i, name in enumerate(names):
        write(folder / "images" / f"{name}.png", picture(1000 * seed + i))
        write(folder / "disc" / f"{name}.png", circle(12))
        if cups:
            write(folder / "cup" / f"{name}.png", circle(6))
    return folder


def patients(count: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{i:02d}" for i in range(count)]


def config(*overrides: str, instrument: str = "A") -> RunConfig:
    """Small frames."""
    return RunConfig.load(overrides=[f"data.instrument={instrument}", "recipe.size=32", *overrides])


def dataset(
    folder: Path, out: Path, *overrides: str, instrument: str = "A", champion: Path | None = None,
    reporter: Notes | None = None,
) -> Manifest:  # fmt: skip
    made = config(*overrides, instrument=instrument)
    return preprocess.run(folder, out, made, champion=champion, reporter=reporter or Notes())


def champion(out: Path, *datasets: Path) -> Path:
    """A bundle that answers for these datasets; its networks are of no concern here."""
    read = [read_dataset(folder) for folder in datasets]
    spec = Bundle(
        task="fundus",
        structures={},
        recipe=read[0].recipe.model_dump(mode="json"),
        instruments=tuple(dict.fromkeys(one.instrument for one in read)),
        datasets=tuple(
            DatasetRef(instrument=one.instrument, uri=str(folder), checksum=manifest.read(folder).checksum)
            for one, folder in zip(read, datasets, strict=True)
        ),
    )
    with manifest.new_folder(out, "bundle") as scratch:
        (scratch / BUNDLE).write_text(spec.model_dump_json())
    return out
