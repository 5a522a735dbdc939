"""Labelled cases as they come in: kept as the reader `folder` reads them, until the trigger closes an experience.

The folder is the truth. `cases.csv` is what a case is finished by: files of a case that was interrupted before its row
was written are removed when the folder is next used, so that what was not answered can be handed in again.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parfocal_serving.monitor.case_files import images, of_field, rows, table, visible, written

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import JPEG, PNG, TIFF, image_size
from parfocal.core.manifest import sha256, write_atomic
from parfocal.core.task import task as named_task
from parfocal.preprocessing.images import decode_image, decode_mask
from parfocal.readers.folder import IMAGES, TABLE, UNLABELLED

PENDING = ".pending.json"
NOTES = "annotations"
"""Folder of an experience with a JSON file for every case that was drawn on the annotation page."""
NAME = re.compile(r"\w[\w .-]{0,99}")
"""Of an instrument and of a case: they become names of a folder and of files."""
PIXELS = 50_000_000
"""Of an image, at most, where nothing else is said: 3 bytes each."""
_KINDS = ((PNG, ".png"), (JPEG, ".jpg"), *((start, ".tif") for start in TIFF))


@dataclass(frozen=True, slots=True)
class NewCase:
    """What was handed in: bytes of the files as they came. Without a mask it only shows what the instrument sees.

    Attributes:
        purpose: side of the split for which the patient was drawn before anybody labelled; "" leaves it to the split.
        notes: JSON of who drew the masks and how, kept beside them and in the experience; "" for none.
    """

    image: bytes
    masks: Mapping[str, bytes]
    patient: str
    grader: str = ""
    name: str = ""
    assisted: bool = False
    purpose: str = ""
    notes: str = ""


class NameTakenError(DataContractError):
    """Another image has that name."""


class TooLargeError(DataContractError):
    """More pixels than may be decoded."""


class CaseStore:
    """The folders `labelled/<task>/<instrument>` and `experiences/<task>/<instrument>/<n>` of a state folder.

    Args:
        pixels: of an image, at most.
    """

    def __init__(self, state: Path, task: str, pixels: int = PIXELS) -> None:
        self._pixels = pixels
        self._open, self._closed = state / "labelled" / task, state / "experiences" / task
        self._structures = named_task(task).names
        self._turn = threading.RLock()
        self._digests: dict[tuple[str, int, int], str] = {}

    def add(self, instrument: str, case: NewCase) -> bool:
        """Keep a case; False when this instrument's image was handed in before, in this experience or an earlier one.

        Raises:
            DataContractError: it is no case; nothing of it was kept.
        """
        check_name("instrument", instrument)
        suffix = self._check(case)
        checksum = hashlib.sha256(case.image).hexdigest()
        with self._turn:
            folder = self._mended(instrument)
            if checksum in self._known(instrument):
                return False
            name = case.name or checksum[:16]
            if any(name.casefold() == file.stem.casefold() for file in images(folder)):
                raise NameTakenError(f"another image is called '{name}'", where="name", next="choose another name")
            self._write(folder, name, suffix, case)
        return True

    def labelled(self, instrument: str) -> int:
        """Cases with at least one mask that wait for the next experience."""
        return self._labelled(self._open / instrument) if NAME.fullmatch(instrument) else 0

    def closed(self, instrument: str, number: int) -> int:
        """Cases with at least one mask in experience `number`; 0 before it is closed."""
        return self._labelled(self._closed / instrument / str(number)) if NAME.fullmatch(instrument) else 0

    def _labelled(self, folder: Path) -> int:
        masked = {file.stem for name in self._structures for file in visible(folder / name)}
        return sum(file.stem in masked for file in visible(folder / IMAGES))

    def purposes(self, instrument: str) -> Counter[str]:
        """Labelled cases that wait for the next experience, by what they were drawn for; "" for nothing."""
        if not NAME.fullmatch(instrument):
            return Counter()
        folder = self._open / instrument
        masked = {file.stem for name in self._structures for file in visible(folder / name)}
        return Counter(row.get("purpose", "") for row in table(folder) if row["name"] in masked)

    def holds(self, instrument: str, image: Path) -> bool:
        """Whether this very image was handed in, in this experience or an earlier one."""
        if not NAME.fullmatch(instrument):
            return False
        with self._turn:
            return self._digest(image) in self._known(instrument)

    def names(self, instrument: str) -> set[str]:
        """Of all its cases with a mask, in experiences that are closed too."""
        if not NAME.fullmatch(instrument):
            return set()
        folders = [self._open / instrument, *visible(self._closed / instrument)]
        return {file.stem for folder in folders for name in self._structures for file in visible(folder / name)}

    def instruments(self) -> list[str]:
        """Those for which something was handed in."""
        return sorted(entry.name for entry in visible(self._open) if entry.is_dir())

    def next_number(self, instrument: str) -> int:
        """Of the next experience of an instrument, the first being 1."""
        return 1 + max((int(f.name) for f in visible(self._closed / instrument) if f.name.isdecimal()), default=0)

    def experience(self, instrument: str, number: int) -> Path:
        """Where experience `number` is, or will be."""
        return (self._closed / instrument / str(number)).absolute()

    def close(self, instrument: str, number: int) -> Path:
        """Turn what was handed in into experience `number`, which nobody changes from then on. Twice does nothing.

        Raises:
            DataContractError: there is nothing to close.
        """
        target = self.experience(instrument, number)
        with self._turn:
            if target.is_dir():
                return target
            folder = self._mended(instrument)
            if not self.labelled(instrument):
                raise DataContractError(f"there are no labelled cases of {instrument}", where=folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
        return target

    def _check(self, case: NewCase) -> str:
        """The suffix of the image's file."""
        if not case.patient.strip():
            raise DataContractError("no patient", where="patient", expected="the patient's key, the same every time")
        if case.name:
            check_name("name", case.name)
        unknown = sorted(set(case.masks) - set(self._structures))
        if unknown:
            raise DataContractError(
                f"there is no structure '{unknown[0]}'", where=unknown[0], expected=" or ".join(self._structures)
            )
        suffix = next((suffix for start, suffix in _KINDS if case.image.startswith(start)), "")
        if not suffix:
            raise DataContractError("this is no photograph", where="image", expected="a JPEG, PNG or TIFF file")
        with of_field("image"):
            self._check_size(case.image)
            size = decode_image(case.image).shape[:2]
        for structure, data in case.masks.items():
            with of_field(structure):
                if not data.startswith(PNG):
                    raise DataContractError("the mask is no PNG file", next="a JPEG blurs its edges: save it as PNG")
                self._check_size(data)
                mask = decode_mask(data)
                if mask.shape != size:
                    raise DataContractError(
                        f"the mask is {mask.shape[1]} x {mask.shape[0]}, the image {size[1]} x {size[0]}",
                        expected="a mask of the image's size",
                    )
        return suffix

    def _check_size(self, data: bytes) -> None:
        """From the header: some kilobytes can claim, and would fill, gigabytes."""
        size = image_size(data)
        if size is None:
            raise DataContractError("unreadable or cut short", next="copy the file again from its origin")
        if size[0] * size[1] > self._pixels:
            raise TooLargeError(
                f"{size[0]} x {size[1]} pixels are too many",
                expected=f"at most {self._pixels / 1e6:g} megapixels",
                next="hand it in in the size the camera gave it, or raise PARFOCAL_MONITOR_MEGAPIXELS",
            )

    def _write(self, folder: Path, name: str, suffix: str, case: NewCase) -> None:
        files = {f"{structure}/{name}.png": data for structure, data in case.masks.items()}
        files[f"{IMAGES if case.masks else UNLABELLED}/{name}{suffix}"] = case.image
        if case.notes:
            files[f"{NOTES}/{name}.json"] = case.notes.encode()
        for inner in (IMAGES, *self._structures, *([] if case.masks else [UNLABELLED]), *([NOTES] * bool(case.notes))):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        write_atomic(folder / PENDING, json.dumps({"name": name, "files": sorted(files)}))
        for file, data in files.items():
            write_atomic(folder / file, data)
        row = {"name": name, "patient": case.patient.strip(), "grader": case.grader.strip(), "purpose": case.purpose}
        row["assisted"] = "yes" if case.assisted else ""
        write_atomic(folder / TABLE, written([*rows(folder, but=name), row]))
        (folder / PENDING).unlink()

    def _mended(self, instrument: str) -> Path:
        """The instrument's folder, without the files of a case whose row was never written."""
        folder = self._open / instrument
        pending = folder / PENDING
        if pending.is_file():
            begun = json.loads(pending.read_text())
            if begun["name"] not in {row["name"] for row in table(folder)}:
                for file in begun["files"]:
                    (folder / file).unlink(missing_ok=True)
            pending.unlink()
        return folder

    def _known(self, instrument: str) -> set[str]:
        places = [self._open / instrument, *visible(self._closed / instrument)]
        return {self._digest(file) for place in places for file in images(place)}

    def _digest(self, file: Path) -> str:
        found = file.stat()
        key = (str(file), found.st_mtime_ns, found.st_size)
        if key not in self._digests:
            self._digests[key] = sha256(file)
        return self._digests[key]


def check_name(what: str, name: str) -> None:
    """A name that can be that of a file.

    Raises:
        DataContractError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise DataContractError(
            f"'{name[:60]}' cannot be the {what}",
            where=what,
            expected="letters, digits, space, '.', '_', '-'; up to 100",
        )
