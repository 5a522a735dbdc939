"""Phantoms as files in the `folder` layout, the way an instrument would deliver them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
    folder: Path,
    instrument: str,
    patients: Iterable[int],
    *,
    seed: int,
    unlabelled: Iterable[int] = (),
    reporter: Reporter | None = None,
) -> tuple[Saved, ...]:
    """Photograph `patients` with `instrument` into `folder`: images/, disc/, cup/ and cases.csv.

    Equal arguments give equal bytes. The photographs of `unlabelled` patients go to unlabelled/, without a mask.

    Returns:
        What was written, in the order of `patients` and then of `unlabelled`.

    Raises:
        UsageError: there is no such instrument, or a patient's number is negative.
    """
    report = reporter or Silent()
    jobs = [(number, True) for number in patients] + [(number, False) for number in unlabelled]
    for name in ("images", "disc", "cup", *(["unlabelled"] if not all(known for _, known in jobs) else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    saved = []
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda job: case(instrument, job[0], seed), jobs)
        for done, ((_, labelled), phantom) in enumerate(zip(jobs, made, strict=True), 1):
            saved.append(_save(folder, phantom) if labelled else _save_image(folder / "unlabelled", phantom))
            report.progress(f"phantoms {instrument}", done, len(jobs))
    rows = [(one.image.stem, one.patient, GRADER, " ".join(f"{size:.6f}" for size in one.spacing)) for one in saved]
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return tuple(saved)


def _save(folder: Path, phantom: Phantom) -> Saved:
    saved = _save_image(folder / "images", phantom)
    masks = {structure: folder / structure / f"{phantom.name}.png" for structure in phantom.masks}
    for structure, file in masks.items():
        file.write_bytes(encode_png(phantom.masks[structure] * 255))
    return replace(saved, masks=masks)


def _save_image(folder: Path, phantom: Phantom) -> Saved:
    suffix, data = phantom.encode()
    image = folder / f"{phantom.name}{suffix}"
    image.write_bytes(data)
    row, column = (round(size, 6) for size in phantom.spacing)
    return Saved(phantom.patient, image, {}, (row, column))
