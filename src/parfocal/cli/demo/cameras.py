"""The two instruments of the demo: simulated ones, or two folders of yours."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parfocal.cli.demo.settings import POPULATIONS
from parfocal.cli.demo.traffic import Camera, FolderCamera, PhantomCamera
from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from parfocal.core.types import Case

SEED = 0
WITHHELD = 5
"""One in so many patients of your first folder is kept from training and comes to the endpoint instead."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One case as an annotator hands it in; without masks when nobody labelled it."""

    name: str
    patient: str
    grader: str
    files: dict[str, Path]


@dataclass(frozen=True)
class Cast:
    """Who plays in the demo.

    Attributes:
        known, new: names of the instrument that is learned first and of the one that arrives.
        experience: folder of labelled images of the known one.
        traffic: of the known instrument, for the endpoint.
        arrivals: of the new one, for the endpoint; labels of them, or of other patients of it, come later.
        afterwards: more of the new one, for the promoted model.
        labels: what the annotator hands in.
        simulated: patients are phantoms.
    """

    known: str
    new: str
    experience: Path
    traffic: Camera
    arrivals: Camera
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
    arriving = PhantomCamera("B", POPULATIONS["B"].traffic, SEED)
    return Cast(
        known="A",
        new="B",
        experience=folders["A"],
        traffic=PhantomCamera("A", POPULATIONS["A"].traffic, SEED),
        arrivals=arriving,
        afterwards=arriving,
        labels=tuple(_deliveries(folders["B"], "B")),
        simulated=True,
    )


def photographs(data: Path, new: Path, out: Path) -> Cast:
    """Your own folders: a part of the first one's patients is kept as traffic, the second's images come unlabelled.

    Raises:
        DataContractError: a folder that cannot be read.
    """
    cases = _scan(data)
    patients = sorted({case.patient for case in cases}, key=lambda name: hashlib.sha256(name.encode()).digest())
    kept = set(patients[: len(patients) // WITHHELD])
    experience = out / "experiences" / "fundus" / data.name / "1"
    _link((case for case in cases if case.patient not in kept), experience)
    return Cast(
        known=data.name,
        new=new.name,
        experience=experience,
        traffic=FolderCamera(data.name, [case.image for case in cases if case.patient in kept]),
        arrivals=FolderCamera(new.name, [case.image for case in _scan(new)]),
        afterwards=FolderCamera(new.name, []),
        labels=tuple(_deliveries(new, new.name)),
        simulated=False,
    )


def labels(folders: tuple[Path, Path] | None) -> int:
    """How many labelled cases of the new instrument will be handed in."""
    if folders is None:
        return len(POPULATIONS["B"].labelled)
    return sum(bool(case.masks) for case in _scan(folders[1]))


def _scan(folder: Path) -> tuple[Case, ...]:
    from parfocal.readers import FAMILY

    found = FAMILY.load("folder")().scan(folder, folder, task="fundus", instrument=folder.name)
    if not found.cases:
        raise DataContractError("no labelled image here", where=folder, expected="images/NAME.jpg and disc/NAME.png")
    cases: tuple[Case, ...] = (*found.cases, *found.unlabelled)
    return cases


def _deliveries(folder: Path, instrument: str) -> Iterator[Delivery]:
    for case in sorted(_scan(folder), key=lambda case: bool(case.masks)):  # the retrain starts with the last label
        files = {"image": case.image, **case.masks}
        yield Delivery(case.image.stem, case.patient, case.grader or instrument, files)


def _link(cases: Iterable[Case], folder: Path) -> None:
    """The plain layout, with links to files that stay where they are."""
    rows = []
    for case in cases:
        part = "images" if case.masks else "unlabelled"
        for name, file in {part: case.image, **case.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / file.name).symlink_to(file.resolve())
        rows.append((case.image.stem, case.patient, case.grader, "yes" if case.assisted else ""))
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("name", "patient", "grader", "assisted"), *rows])
