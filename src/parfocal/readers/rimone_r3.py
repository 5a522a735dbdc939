"""RIM-ONE r3 as it unpacks: stereo pairs side by side, around the disc; two experts and their average.

    RIM-ONE r3/
      Healthy/Stereo Images/N-1-L.jpg                          2144 x 1424; two views of one eye; number and eye
      Healthy/Expert1_masks/N-1-L-1-Disc-exp1.png, N-1-L-1-Cup-exp1.png, and .txt of their boundaries
      Healthy/Expert2_masks/N-1-L-1-Disc-exp2.png, N-1-L-1-Cup-exp2.png
      Healthy/Average_masks/N-1-L-Disc-Avg.png, N-1-L-Cup-Avg.png
      Glaucoma and suspects/...                                the same, names G- (glaucoma) and S- (suspects)
      Scripts/

The masks belong to the left view. They are as large as the pair with an empty right half, or as large as the view;
other copies call them `*-Disc-T.png`. The left view is cut out, without loss. The set declares no split. Number and
group name a patient; in the published set no number has two eyes, so eyes of one person cannot be told.

Fumero et al., "Interactive tool and database for optic disc and cup segmentation of stereo and monocular retinal
fundus images", WSCG 2015.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem
from parfocal.readers.files import DOCUMENTS, common, gather, instrument_named, only, visible, wrong_root
from parfocal.readers.naming import case_id
from parfocal.readers.pictures import Pixels, levels, photograph, save

GROUPS = ("Healthy", "Glaucoma and suspects")
STEREO = "Stereo Images"
PARTS = {"disc": "Disc", "cup": "Cup"}
_WIDE = 1.4
"""Least width by height of a pair; one view alone is higher than wide, and other photographs are 4 : 3."""
_NAME = re.compile(r"(?P<patient>[A-Za-z]-\d+)-[LR](-Stereo)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    patient: str
    image: Path
    masks: Path


class RimOneR3Reader:
    """Reads RIM-ONE r3 with the average of both experts; `rimone_r3_expert1` and `..._expert2` with one of them."""

    masks: ClassVar[str] = "Average_masks"
    suffixes: ClassVar[tuple[str, ...]] = ("Avg", "T")
    grader: ClassVar[str] = "average of 2 experts"

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List the cases under `source`; left views and their masks are written into `workdir`.

        Raises:
            UsageError: no instrument was named, or the task has neither disc nor cup.
            DataContractError: there is no group with stereo images.
        """
        instrument_named(instrument)
        structures = common(task, tuple(PARTS), "rimone_r3")
        found: list[_Found] = []
        problems: list[Problem] = []
        for folder in self._groups(source):
            listed, wrong = self._listed(folder)
            found += listed
            problems += wrong

        def case(one: _Found) -> Case:
            return self._case(one, structures, workdir, task, instrument)

        cases, wrong = gather(case, found)
        return Scan(tuple(cases), (*problems, *wrong))

    def _groups(self, source: Path) -> list[Path]:
        for root in (source, source / "RIM-ONE r3"):
            groups = [root / group for group in GROUPS if (root / group / STEREO).is_dir()]
            if groups:
                return groups
        raise wrong_root(source, f"'Healthy/{STEREO}/N-1-L.jpg' and 'Healthy/{self.masks}/'")

    def _listed(self, folder: Path) -> tuple[list[_Found], list[Problem]]:
        found: list[_Found] = []
        problems: list[Problem] = []
        names: dict[str, list[Path]] = {}
        for file in visible(folder / STEREO):
            match = _NAME.fullmatch(file.stem)
            if match and file.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"):
                names.setdefault(file.stem, []).append(file)
            elif file.suffix.lower() not in DOCUMENTS:
                problems.append(Problem(file, "not a stereo pair of the set", "expected a name such as N-1-L.jpg"))
        for name, image in only(names.items(), problems).items():
            match = _NAME.fullmatch(name)
            patient = match["patient"].upper() if match else name
            found.append(_Found(re.sub("-Stereo$", "", name, flags=re.IGNORECASE), patient, image, folder / self.masks))
        starts = tuple(f"{one.name}-" for one in found)
        problems += [
            Problem(file, "a mask without an image", f"add it to {folder / STEREO}")
            for file in visible(folder / self.masks)
            if file.suffix.lower() == ".png" and not file.name.startswith(starts)
        ]
        return found, problems

    def _case(self, one: _Found, structures: tuple[str, ...], workdir: Path, task: str, instrument: str) -> Case:
        pair = photograph(one.image)
        height, width = pair.shape[:2]
        if width % 2 or width < _WIDE * height:
            raise DataContractError(f"{width} x {height} is no pair of views side by side", where=one.image)
        named = case_id(instrument, one.name)
        masks = {}
        for name in structures:
            file = self._mask(one, PARTS[name])
            masks[name] = save(workdir / "masks" / name / f"{named}.png", _left(levels(file), file, pair))
        image = save(workdir / "images" / f"{named}.png", pair[:, : width // 2])
        return Case(
            id=named, task=task, instrument=instrument, patient=one.patient, image=image, masks=masks,
            checksum=sha256(image), grader=self.grader,
        )  # fmt: skip

    def _mask(self, one: _Found, part: str) -> Path:
        pattern = re.compile(rf"{re.escape(one.name)}(-\d+)?-{part}-({'|'.join(self.suffixes)})\.png", re.IGNORECASE)
        files = [file for file in visible(one.masks) if pattern.fullmatch(file.name)]
        if len(files) != 1:
            names = ", ".join(file.name for file in files)
            what = f"{len(files)} masks of the {part.lower()} fit: {names}" if files else f"no {part.lower()} mask"
            expected = f"{one.masks.name}/{one.name}-{part}-{self.suffixes[0]}.png"
            raise DataContractError(what, where=one.image, expected=expected, next="keep one of them" if files else "")
        return files[0]


class Expert1Reader(RimOneR3Reader):
    """RIM-ONE r3 with the masks of the first expert."""

    masks = "Expert1_masks"
    suffixes = ("exp1", "T")
    grader = "expert 1 of 2"


class Expert2Reader(RimOneR3Reader):
    """RIM-ONE r3 with the masks of the second expert."""

    masks = "Expert2_masks"
    suffixes = ("exp2", "T")
    grader = "expert 2 of 2"


def _left(mask: Pixels, file: Path, pair: Pixels) -> Pixels:
    """The part of a mask that lies on the left view, as it is stored."""
    height, width = pair.shape[:2]
    if mask.shape == (height, width // 2):
        return mask
    if mask.shape != (height, width):
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise DataContractError(
            f"{size}, but the pair of views is {width} x {height}", where=file, next="copy both from one release"
        )
    if (mask[:, width // 2 :] != mask[0, -1]).any():
        raise DataContractError("it reaches into the right view", where=file, expected="a mask of the left view")
    return mask[:, : width // 2]
