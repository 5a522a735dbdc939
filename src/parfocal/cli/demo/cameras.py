"""The two instruments of the demo: simulated ones, or two folders of yours."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parfocal.cli.demo.settings import PATIENCE, POPULATIONS
from parfocal.cli.demo.traffic import Camera, FolderCamera, PhantomCamera
from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from parfocal.core.types import Case

SEED = 0
WITHHELD = 8
"""One in so many patients of your first folder is kept from training and comes to the endpoint instead."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One case as an annotator hands it in.

    Attributes:
        files: ``image``, and the mask by structure; none when nobody labelled it.
        assisted: the grader saw a model's mask.
        spacing: (row, column) size of a pixel in millimetres, where known.
    """

    name: str
    patient: str
    grader: str
    files: dict[str, Path]
    assisted: bool = False
    spacing: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cast:
    """Who plays in the demo.

    Attributes:
        known, new: names of the instrument that is learned first and of the one that arrives.
        experience: folder of labelled images of the known one.
        traffic: of the known instrument, for the endpoint.
        arrivals: of the new one, for the endpoint; labels of them, or of other patients of it, come later.
        patience: cases of the new one after which nobody waits for an alarm any longer.
        background: of the known instrument again, for requests that keep coming.
        afterwards: more of the new one, for the promoted model.
        labels: what the annotator hands in.
        simulated: patients are phantoms.
    """

    known: str
    new: str
    experience: Path
    traffic: Camera
    arrivals: Camera
    patience: int
    background: Camera
    afterwards: Camera
    labels: Sequence[Delivery]
    simulated: bool


def simulated(out: Path) -> Cast:
    """Cameras A and B photograph different patients; the phantom's own truth plays the annotator."""
    from parfocal import phantoms

    folders = {"A": out / "experiences" / "fundus" / "A" / "1", "B": out / "annotated" / "B"}
    for name, folder in folders.items():
        people = POPULATIONS[name]
        phantoms.write(folder, name, people.labelled, unlabelled=people.unlabelled, seed=SEED)
    known, arriving = (PhantomCamera(name, POPULATIONS[name].traffic, SEED) for name in folders)
    return Cast(
        known="A",
        new="B",
        experience=folders["A"],
        traffic=known,
        arrivals=arriving,
        patience=PATIENCE,
        background=known,
        afterwards=arriving,
        labels=tuple(_deliveries(folders["B"])),
        simulated=True,
    )


def photographs(data: Path, new: Path, out: Path) -> Cast:
    """Your own folders: a part of the first one's patients is kept as traffic, the second's images come unlabelled.

    Requests that keep coming later repeat that traffic, for a folder has no more.

    Raises:
        DataContractError: a folder that cannot be read.
    """
    cases = _scan(data)
    patients = sorted({case.patient for case in cases}, key=lambda name: hashlib.sha256(name.encode()).digest())
    kept = set(patients[: max(1, len(patients) // WITHHELD)])
    experience = out / "experiences" / "fundus" / data.name / "1"
    link((_delivery(case) for case in cases if case.patient not in kept), experience)
    withheld = [case.image for case in cases if case.patient in kept]
    arriving = [case.image for case in _scan(new)]
    return Cast(
        known=data.name,
        new=new.name,
        experience=experience,
        traffic=FolderCamera(data.name, withheld),
        arrivals=FolderCamera(new.name, arriving),
        patience=len(arriving),
        background=FolderCamera(data.name, withheld, again=True),
        afterwards=FolderCamera(new.name, []),
        labels=tuple(_deliveries(new)),
        simulated=False,
    )


def labels(folders: tuple[Path, Path] | None) -> int:
    """How many labelled cases of the new instrument will be handed in."""
    if folders is None:
        return len(POPULATIONS["B"].labelled)
    return sum(bool(case.masks) for case in _scan(folders[1]))


def link(deliveries: Iterable[Delivery], folder: Path) -> None:
    """Make the plain layout in `folder`, with links to files that stay where they are."""
    rows = []
    for one in deliveries:
        part = "images" if len(one.files) > 1 else "unlabelled"
        for name, file in one.files.items():
            place = folder / (part if name == "image" else name)
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).symlink_to(file.resolve())
        spacing = " ".join(f"{size:.6f}" for size in one.spacing or ())
        rows.append((one.name, one.patient, one.grader, "yes" if one.assisted else "", spacing))
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("name", "patient", "grader", "assisted", "spacing"), *rows])


def _scan(folder: Path) -> tuple[Case, ...]:
    """Its cases, each image once: a labelled one rather than its unlabelled copy."""
    from parfocal.readers import FAMILY

    found = FAMILY.load("folder")().scan(folder, folder, task="fundus", instrument=folder.name)
    if not found.cases:
        raise DataContractError("no labelled image here", where=folder, expected="images/NAME.jpg and disc/NAME.png")
    cases: dict[str, Case] = {case.checksum: case for case in (*found.unlabelled, *found.cases)}
    return tuple(cases.values())


def _deliveries(folder: Path) -> Iterator[Delivery]:
    for case in sorted(_scan(folder), key=lambda case: bool(case.masks)):  # the retrain starts with the last label
        yield _delivery(case)


def _delivery(case: Case) -> Delivery:
    files = {"image": case.image, **case.masks}
    grader = case.grader or f"whoever drew {case.instrument}"  # masks are signed, and a plain folder names nobody
    return Delivery(case.image.stem, case.patient, grader, files, case.assisted, case.spacing)
