"""Phantoms as files in the `folder` layout, the way an instrument would deliver them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent
from parfocal.phantoms.photograph import Phantom, case, encode_png

COLUMNS = ("name", "patient", "grader", "spacing")


def write(
    folder: Path, instrument: str, patients: Iterable[int], *, seed: int, reporter: Reporter | None = None
) -> None:
    """Photograph `patients` with `instrument` into `folder`: images/, disc/, cup/ and cases.csv.

    Equal arguments give equal bytes. The grader of every mask is ``phantom``: it is the truth, not an opinion.

    Raises:
        UsageError: there is no such instrument, or a patient's number is negative.
    """
    report = reporter or Silent()
    numbers = list(patients)
    for name in ("images", "disc", "cup"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    with ThreadPoolExecutor(2) as pool:
        for done, phantom in enumerate(pool.map(lambda number: case(instrument, number, seed), numbers), 1):
            _save(folder, phantom)
            spacing = " ".join(f"{size:.6f}" for size in phantom.spacing)
            rows.append((phantom.name, phantom.patient, "phantom", spacing))
            report.progress(f"phantoms {instrument}", done, len(numbers))
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])


def _save(folder: Path, phantom: Phantom) -> None:
    suffix, data = phantom.encode()
    (folder / "images" / f"{phantom.name}{suffix}").write_bytes(data)
    for structure, mask in phantom.masks.items():
        (folder / structure / f"{phantom.name}.png").write_bytes(encode_png(mask * 255))
