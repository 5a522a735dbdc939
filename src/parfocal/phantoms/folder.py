"""Phantoms as files in the `folder` layout, the way an instrument would deliver them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent
from parfocal.phantoms.photograph import Phantom, case, encode_png

COLUMNS = ("name", "patient", "grader", "spacing")
GRADER = "phantom"
"""Who drew the masks: they are the truth, not an opinion."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One case on disk: its patient, its files, the (row, column) size of a pixel in millimetres, points (x, y)."""

    patient: str
    image: Path
    masks: dict[str, Path]
    spacing: tuple[float, float]
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def write(
    folder: Path,
    instrument: str,
    patients: Iterable[int],
    *,
    seed: int,
    unlabelled: Iterable[int] = (),
    points_only: bool = False,
    reporter: Reporter | None = None,
) -> tuple[Saved, ...]:
    """Photograph `patients` with `instrument` into `folder`: images/, disc/, cup/ and cases.csv.

    Equal arguments give equal bytes. The photographs of `unlabelled` patients go to unlabelled/, without a mask.
    With `points_only` the label of a patient is the disc's centre alone: no masks, but disc_x and disc_y in cases.csv.

    Returns:
        What was written, in the order of `patients` and then of `unlabelled`.

    Raises:
        UsageError: there is no such instrument, or a patient's number is negative.
    """
    report = reporter or Silent()
    jobs = [(number, True) for number in patients] + [(number, False) for number in unlabelled]
    structures = () if points_only else ("disc", "cup")
    for name in ("images", *structures, *(["unlabelled"] if not all(known for _, known in jobs) else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    saved = []
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda job: case(instrument, job[0], seed), jobs)
        for done, ((_, labelled), phantom) in enumerate(zip(jobs, made, strict=True), 1):
            saved.append(
                _save(folder, phantom, structures) if labelled else _save_image(folder / "unlabelled", phantom)
            )
            report.progress(f"phantoms {instrument}", done, len(jobs))
    write_table(folder, saved)
    return tuple(saved)


def write_table(folder: Path, saved: Iterable[Saved]) -> None:
    """Write cases.csv: a line a case, with columns for points where a case has any."""
    saved = list(saved)
    pointed = sorted({name for one in saved for name in one.points})
    columns = (*COLUMNS, *(f"{name}_{axis}" for name in pointed for axis in "xy"))
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *(_row(one, pointed) for one in saved)])


def _row(one: Saved, pointed: Iterable[str]) -> tuple[str, ...]:
    places = [
        f"{value:.3f}" if name in one.points else "" for name in pointed for value in one.points.get(name, (0, 0))
    ]
    return one.image.stem, one.patient, GRADER, " ".join(f"{size:.6f}" for size in one.spacing), *places


def _save(folder: Path, phantom: Phantom, structures: Iterable[str]) -> Saved:
    saved = _save_image(folder / "images", phantom)
    masks = {structure: folder / structure / f"{phantom.name}.png" for structure in structures}
    for structure, file in masks.items():
        file.write_bytes(encode_png(phantom.masks[structure] * 255))
    x, y = phantom.view.disc_at
    return replace(saved, masks=masks) if masks else replace(saved, points={"disc": (round(x, 3), round(y, 3))})


def _save_image(folder: Path, phantom: Phantom) -> Saved:
    suffix, data = phantom.encode()
    image = folder / f"{phantom.name}{suffix}"
    image.write_bytes(data)
    row, column = (round(size, 6) for size in phantom.spacing)
    return Saved(phantom.patient, image, {}, (row, column))
