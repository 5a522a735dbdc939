"""Simulated examinations by task: which generator, which scanners, and volumes as files in the `folder` layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2

from parfocal.core.errors import UsageError
from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent
from parfocal.phantoms import chest, ct, prostate
from parfocal.phantoms.folder import Saved, write_table
from parfocal.phantoms.photograph import encode_png
from parfocal.phantoms.volume import Volume

GENERATORS: Mapping[str, ModuleType] = {"bone": ct, "lung": chest, "prostate": prostate}
"""By task: a module with `SCANNERS`, `SLICES` and `volume(scanner, patient, seed, slices)`.

Each has one structure, which bears the task's name."""


def scanners(task: str) -> tuple[str, ...]:
    """Names of the simulated scanners of a task.

    Raises:
        UsageError: no phantom volumes are made for that task.
    """
    return tuple(_generator(task).SCANNERS)


def volume(task: str, scanner: str, patient: int, seed: int, slices: int = 0) -> Volume:
    """Examine a patient.

    Args:
        task: key in `GENERATORS`.
        scanner: one of `scanners(task)`.
        patient: number of the patient, 0 or more; anatomy depends on it and on `seed` alone.
        seed: names the population, 0 or more; equal arguments give equal volumes.
        slices: how many; 0 for the generator's own number.

    Raises:
        UsageError: there is no such task or scanner, or a number is negative.
    """
    made: Volume = _generator(task).volume(scanner, patient, seed, slices)
    return made


def write_volumes(
    folder: Path,
    task: str,
    scanner: str,
    patients: Iterable[int],
    *,
    seed: int,
    slices: int = 0,
    unlabelled: Iterable[int] = (),
    reporter: Reporter | None = None,
) -> tuple[Saved, ...]:
    """Examine `patients` into `folder`: images/ (16-bit grey PNG, a slice each), a folder of masks and cases.csv.

    Equal arguments give equal bytes. CT is stored as Hounsfield units + 1024. A slice's name is ``X-P0007-003``.
    Slices of `unlabelled` patients go to unlabelled/, without a mask.

    Returns:
        What was written: by patient in the order given, then by slice.

    Raises:
        UsageError: there is no such task or scanner, or a patient's number is negative.
    """
    report = reporter or Silent()
    _generator(task)
    jobs = [(number, True) for number in patients] + [(number, False) for number in unlabelled]
    for name in ("images", task, *(["unlabelled"] if not all(known for _, known in jobs) else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    saved: list[Saved] = []
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(partial(_examine, task, scanner, seed, slices), (number for number, _ in jobs))
        for done, ((_, labelled), one) in enumerate(zip(jobs, made, strict=True), 1):
            saved += _save(folder, one, labelled)
            report.progress(f"phantoms {scanner}", done, len(jobs))
    write_table(folder, saved)
    return tuple(saved)


def _generator(task: str) -> ModuleType:
    if task not in GENERATORS:
        raise UsageError(
            f"there are no phantom volumes for the task '{task}'", expected=f"one of {', '.join(GENERATORS)}"
        )
    return GENERATORS[task]


def _examine(task: str, scanner: str, seed: int, slices: int, patient: int) -> Volume:
    return volume(task, scanner, patient, seed, slices)


def _save(folder: Path, made: Volume, labelled: bool) -> list[Saved]:
    row, column = (round(size, 6) for size in made.spacing[1:])
    saved = []
    for number, picture in enumerate(made.pictures):
        name = f"{made.scanner}-{made.patient}-{number:03d}.png"
        image = folder / ("images" if labelled else "unlabelled") / name
        image.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
        masks = {structure: folder / structure / name for structure in made.masks} if labelled else {}
        for structure, file in masks.items():
            file.write_bytes(encode_png(made.masks[structure][number] * 255))
        saved.append(Saved(made.patient, image, masks, (row, column)))
    return saved
