"""One indexed mask an image, as REFUGE and ORIGA store it: background, rim and cup in one picture.

REFUGE as it unpacks (2124 x 2056 and, from another camera, 1634 x 1634):

    Training400/Glaucoma/g0001.jpg, Training400/Non-Glaucoma/n0001.jpg
    Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001.bmp, .../Non-Glaucoma/n0001.bmp
    REFUGE-Validation400/V0001.jpg     REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp
    Test400/T0001.jpg                  REFUGE-Test-GT/Disc_Cup_Masks/T0001.bmp
    its masks: 0 cup, 128 rim, 255 background; the tables (.xlsx) are not read

ORIGA, and copies of REFUGE in the same style:

    Images/001.jpg                     Masks/001.png: 0 background, 1 rim, 2 cup (grey or palette)
    train/Images/g0001.jpg             train/gts/g0001.bmp, or train/Masks/g0001.png

Resized copies (`Images_Cropped`, `Masks_Square`) are left aside. Which numbers are meant is told from the picture:
what every corner shows is the background. A map with 0 at the corners and 255 inside is inverted and refused. The
disc is rim and cup together. Training and test folders of REFUGE come from two cameras: an instrument each is truer
than one, so put what belongs to one camera into a folder of its own.

Orlando et al., "REFUGE challenge", Medical Image Analysis 59, 2020; Zhang et al., "ORIGA-light", EMBC 2010.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem, Split
from parfocal.readers.files import DOCUMENTS, PICTURES, common, gather, instrument_named, only, walk, wrong_root
from parfocal.readers.naming import case_id
from parfocal.readers.pictures import Pixels, levels, photograph, same_size, save_mask

LAYOUT = "Images/NAME.jpg and Masks/NAME.png, or Training400/**/NAME.jpg and **/Disc_Cup_Masks/**/NAME.bmp"
_MASKS = {"disc_cup_masks", "masks", "gts"}
_COPY = re.compile(r"(images|masks)_\w+|.*illustration.*", re.IGNORECASE)
_SIDE = re.compile(r"(refuge2?[-_])?(?P<side>train|val|test)(ing|idation)?\d*", re.IGNORECASE)
GRADER = "label map of the set"


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    image: Path
    map: Path | None
    side: Split | None


class LabelMapReader:
    """Reads label maps of rim and cup. Every image is a patient of its own: these sets name no patients."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List the cases under `source`; a mask a structure is written into `workdir`.

        Raises:
            UsageError: no instrument was named, or the task has neither disc nor cup.
            DataContractError: there is no folder of label maps with images beside it.
        """
        instrument_named(instrument)
        structures = common(task, ("disc", "cup"), "labelmap")
        problems: list[Problem] = []
        found = _listed(source, problems)
        mapped = [one for one in found if one.map]
        sides_with_maps = {one.side for one in mapped}
        bare = [one for one in found if not one.map]
        lost = [one for one in bare if one.side in sides_with_maps]
        problems += [Problem(one.image, "no label map", "add it, or remove the image") for one in lost]
        cases, wrong = gather(lambda one: _case(one, structures, workdir, task, instrument), mapped)
        rest, unreadable = gather(
            lambda one: _unlabelled(one, task, instrument), [one for one in bare if one.side not in sides_with_maps]
        )
        declared = {case_id(instrument, one.name): one.side for one in found if one.side}
        known = {case.id: str(declared[case.id]) for case in cases if case.id in declared}
        return Scan(tuple(cases), (*problems, *wrong, *unreadable), tuple(rest), known or None)


def _listed(source: Path, problems: list[Problem]) -> list[_Found]:
    images: dict[str, list[Path]] = {}
    maps: dict[str, list[Path]] = {}
    for file in walk(source):
        folders = [part.lower() for part in file.relative_to(source).parts[:-1]]
        if any(_COPY.fullmatch(folder) for folder in folders) or file.suffix.lower() in DOCUMENTS:
            continue
        if file.suffix.lower() not in PICTURES:
            problems.append(Problem(file, "neither a picture nor a table", "move it elsewhere"))
        elif _MASKS & set(folders):
            maps.setdefault(file.stem, []).append(file)
        else:
            images.setdefault(file.stem, []).append(file)
    if not images or not maps:
        raise wrong_root(source, LAYOUT)
    one_image, one_map = only(images.items(), problems), only(maps.items(), problems)
    orphans = [file for name, file in one_map.items() if name not in images]
    problems += [Problem(file, "a label map without an image", "add it") for file in orphans]
    return [
        _Found(name, image, one_map.get(name), _side(image.relative_to(source)))
        for name, image in one_image.items()
        if name in one_map or name not in maps
    ]


def _side(image: Path) -> Split | None:
    """The side that a folder's name declares, such as REFUGE's ``Training400``."""
    found = next((match for part in image.parts[:-1] if (match := _SIDE.fullmatch(part))), None)
    return {"train": Split.TRAIN, "val": Split.VALIDATION, "test": Split.TEST}[found["side"].lower()] if found else None


def _case(one: _Found, structures: tuple[str, ...], workdir: Path, task: str, instrument: str) -> Case:
    assert one.map is not None
    named = case_id(instrument, one.name)
    stored = levels(one.map)
    same_size(stored, one.map, photograph(one.image), one.image)
    found = split_map(stored, one.map)
    masks = {name: save_mask(workdir / "masks" / name / f"{named}.png", found[name]) for name in structures}
    return Case(
        id=named, task=task, instrument=instrument, patient=one.name, image=one.image, masks=masks,
        checksum=sha256(one.image), grader=GRADER,
    )  # fmt: skip


def _unlabelled(one: _Found, task: str, instrument: str) -> Case:
    photograph(one.image)
    return Case(
        id=case_id(instrument, one.name), task=task, instrument=instrument, patient=one.name, image=one.image,
        masks={}, checksum=sha256(one.image),
    )  # fmt: skip


def split_map(stored: Pixels, file: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """Disc and cup of a label map, bool [H, W].

    Raises:
        DataContractError: other numbers than REFUGE's or ORIGA's, inverted, or without a rim or a cup.
    """
    values = set(np.unique(stored).tolist())
    corners = {int(stored[y, x]) for y in (0, -1) for x in (0, -1)}
    expected = "0 cup, 128 rim, 255 background (REFUGE), or 0 background, 1 rim, 2 cup (ORIGA)"
    if values == {0, 128, 255} and corners == {255}:
        return {"disc": stored != 255, "cup": stored == 0}
    if values == {0, 1, 2} and corners == {0}:
        return {"disc": stored != 0, "cup": stored == 2}
    if values in ({0, 128, 255}, {0, 1, 2}):
        seen = ", ".join(map(str, sorted(corners)))
        what, advice = f"the corners show {seen}: it looks inverted", "exchange the values"
    else:
        shown = ", ".join(map(str, sorted(values)[:6])) + (" and more" if len(values) > 6 else "")
        what, advice = f"values {shown}", "a map without rim or cup is no label of both; PNG or BMP, never JPEG"
    raise DataContractError(what, where=file, expected=expected, next=advice)
