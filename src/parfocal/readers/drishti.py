"""DRISHTI-GS1 as it unpacks: whole fundus photographs, and for each a soft map of four experts.

    Drishti-GS1_files/
      Training/Images/drishtiGS_002.png              some copies: Images/GLAUCOMA/ and Images/NORMAL/
      Training/GT/drishtiGS_002/SoftMap/drishtiGS_002_ODsegSoftmap.png    0, 64, 128, 191, 255: how many experts
      Training/GT/drishtiGS_002/SoftMap/drishtiGS_002_cupsegSoftmap.png
      Training/GT/drishtiGS_002/AvgBoundary/drishtiGS_002_diskCenter.txt  "row column", as matrices are indexed
      Training/GT/drishtiGS_002/AvgBoundary/drishtiGS_002_ODAvgBoundary.txt, .../drishtiGS_002_cdrValues.txt
      Test/Images/drishtiGS_001.png                  51 of them; 50 in Training
      Test/Test_GT/drishtiGS_001/...                 the first release had none: those images are then unlabelled

Sivaswamy et al., "Drishti-GS: retinal image dataset for optic nerve head segmentation", ISBI 2014.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem, Split
from parfocal.readers.files import PICTURES, common, gather, instrument_named, only, visible, walk, wrong_root
from parfocal.readers.naming import case_id, official_side
from parfocal.readers.pictures import Pixels, levels, photograph, same_size, save_mask

MAPS = {"disc": "ODsegSoftmap", "cup": "cupsegSoftmap"}
HALF = 128
GRADER = f"at least 2 of 4 experts (soft map >= {HALF})"
LAYOUT = "Training/Images/*.png, Training/GT/<name>/SoftMap/<name>_ODsegSoftmap.png, and the same in Test"
_SIDES = {"Training": Split.TRAIN, "Test": Split.TEST}


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    image: Path
    truth: Path
    side: Split


class DrishtiReader:
    """Reads DRISHTI-GS1. Every image is a patient of its own; the set's training and test sides are kept."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """List the cases under `source`; masks are written into `workdir`.

        Raises:
            UsageError: no instrument was named, or the task has neither disc nor cup.
            DataContractError: there is neither a Training nor a Test folder with images.
        """
        instrument_named(instrument)
        structures = common(task, tuple(MAPS), "drishti")
        labelled: list[_Found] = []
        bare: list[_Found] = []
        problems: list[Problem] = []
        for folder, side in _sides(source):
            listed = list(_listed(folder, side, problems))
            truths = [one for one in listed if one.truth.is_dir()]
            labelled += truths
            missing = [one for one in listed if not one.truth.is_dir()]
            if truths:
                problems += [Problem(one.image, "no ground truth", f"add {one.truth}") for one in missing]
            else:
                bare += missing
        cases, wrong = gather(lambda one: _case(one, structures, workdir, task, instrument), labelled)
        rest, unreadable = gather(lambda one: _unlabelled(one, task, instrument), bare)
        sides = {case_id(instrument, one.name): official_side(one.side, one.name) for one in labelled}
        return Scan(
            tuple(cases), (*problems, *wrong, *unreadable), tuple(rest), {c.id: sides[c.id] for c in cases} or None
        )


def _sides(source: Path) -> list[tuple[Path, Split]]:
    """The folders Training and Test, wherever the archive's own folders put them, at most four levels down."""
    inner = [entry for depth in range(1, 5) for entry in sorted(source.glob("*/" * depth)) if entry.is_dir()]
    found = [
        (folder / name, side)
        for folder in [source, *inner]
        for name, side in _SIDES.items()
        if (folder / name / "Images").is_dir()
    ]
    if not found:
        raise wrong_root(source, LAYOUT)
    for side in _SIDES.values():
        twice = [str(folder) for folder, which in found if which is side]
        if len(twice) > 1:
            what = f"the {side} side is there {len(twice)} times"
            raise DataContractError(what, where=", ".join(twice), expected="one release of the set")
    return found


def _listed(folder: Path, side: Split, problems: list[Problem]) -> Iterable[_Found]:
    images: dict[str, list[Path]] = {}
    for file in walk(folder / "Images"):
        if file.suffix.lower() in PICTURES:
            images.setdefault(file.stem, []).append(file)
        else:
            problems.append(Problem(file, "not a picture", "move it elsewhere"))
    single = only(sorted(images.items()), problems)
    truths = next((folder / name for name in ("GT", "Test_GT") if (folder / name).is_dir()), folder / "GT")
    problems += [
        Problem(entry, "ground truth without an image", f"add it to {folder / 'Images'}")
        for entry in visible(truths)
        if entry.is_dir() and entry.name not in images
    ]
    for name, image in single.items():
        yield _Found(name, image, truths / name, side)


def _case(one: _Found, structures: tuple[str, ...], workdir: Path, task: str, instrument: str) -> Case:
    image = photograph(one.image)
    soft = {name: _soft(one.truth / "SoftMap" / f"{one.name}_{kind}.png") for name, kind in MAPS.items()}
    for name, found in soft.items():
        same_size(found, one.truth / "SoftMap" / f"{one.name}_{MAPS[name]}.png", image, one.image)
    named = case_id(instrument, one.name)
    masks = {name: save_mask(workdir / "masks" / name / f"{named}.png", soft[name] >= HALF) for name in structures}
    centre = _centre(one.truth / "AvgBoundary" / f"{one.name}_diskCenter.txt", soft["disc"])
    points = {"disc": centre} if centre and "disc" in structures else {}
    return Case(
        id=named, task=task, instrument=instrument, patient=one.name, image=one.image, masks=masks, points=points,
        checksum=sha256(one.image), grader=GRADER,
    )  # fmt: skip


def _unlabelled(one: _Found, task: str, instrument: str) -> Case:
    photograph(one.image)
    return Case(
        id=case_id(instrument, one.name), task=task, instrument=instrument, patient=one.name, image=one.image,
        masks={}, checksum=sha256(one.image),
    )  # fmt: skip


def _soft(file: Path) -> Pixels:
    if not file.is_file():
        raise DataContractError("a soft map is missing", where=file, next="copy the set again from its origin")
    soft = levels(file)
    if soft.max() == 1:
        raise DataContractError("values 0 and 1", where=file, expected="a soft map: 0 nobody, 255 all experts")
    return soft


def _centre(file: Path, soft: Pixels) -> tuple[float, float] | None:
    """(x, y) of the disc's centre. The file says row, then column: a centre outside the disc is refused."""
    if not file.is_file():
        return None
    try:
        row, column = (float(word) for word in file.read_text().replace(",", " ").split())
    except (ValueError, UnicodeDecodeError):
        raise DataContractError("not two numbers", where=file, expected="row and column of the disc's centre") from None
    inside = 0 <= row < soft.shape[0] and 0 <= column < soft.shape[1]
    if not inside or not soft[int(row), int(column)]:
        raise DataContractError(
            f"the disc's centre, row {row:g} column {column:g}, is outside the disc", where=file,
            next="are row and column exchanged, or is it another image's?",
        )  # fmt: skip
    return column, row
