"""Phantoms as files in the `folder` layout, the way an instrument would deliver them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent
from parfocal.phantoms.photograph import Phantom, case, encode_png

COLUMNS = ("name", "patient", "grader", "spacing")
GRADER = "phantom"
"""Who drew the masks: they are the truth, not an opinion."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One case on disk: its patient, its files, and the (row, column) size of a pixel in millimetres."""

    patient: str
    image: Path
    masks: dict[str, Path]
    spacing: tuple[float, float]


def write(
    folder: Path, instrument: str, patients: Iterable[int], *, seed: int, reporter: Reporter | None = None
) -> tuple[Saved, ...]:
    """Photograph `patients` with `instrument` into `folder`: images/, disc/, cup/ and cases.csv.

    Equal arguments give equal bytes.

    Returns:
        What was written, in the order of `patients`.

    Raises:
        UsageError: there is no such instrument, or a patient's number is negative.
    """
    report = reporter or Silent()
    numbers = list(patients)
    for name in ("images", "disc", "cup"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    saved = []
    with ThreadPoolExecutor(2) as pool:
        for done, phantom in enumerate(pool.map(lambda number: case(instrument, number, seed), numbers), 1):
            saved.append(_save(folder, phantom))
            report.progress(f"phantoms {instrument}", done, len(numbers))
    rows = [(one.image.stem, one.patient, GRADER, " ".join(f"{size:.6f}" for size in one.spacing)) for one in saved]
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return tuple(saved)


def _save(folder: Path, phantom: Phantom) -> Saved:
    suffix, data = phantom.encode()
    image = folder / "images" / f"{phantom.name}{suffix}"
    image.write_bytes(data)
    masks = {structure: folder / structure / f"{phantom.name}.png" for structure in phantom.masks}
    for structure, file in masks.items():
        file.write_bytes(encode_png(phantom.masks[structure] * 255))
    row, column = (round(size, 6) for size in phantom.spacing)
    return Saved(phantom.patient, image, masks, (row, column))
