"""Volumes become cases slice by slice: 16-bit grey PNGs that know where in the volume they lie, and 8-bit masks."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from parfocal.core import intact, volumes
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.task import task as task_named
from parfocal.core.types import Case, Slice
from parfocal.core.volumes import HU_OFFSET, Volume, open_labels, to_uint16
from parfocal.readers.files import gather
from parfocal.readers.naming import case_id
from parfocal.readers.pictures import save_mask

Bools = npt.NDArray[np.bool_]
_KEYWORD = b"parfocal"


@dataclass(frozen=True, slots=True)
class Stack:
    """What the slices of one volume have in common.

    Attributes:
        name: unique among the volumes of the source; slices are called ``<name>-<number>``.
        labels: label volumes by structure; empty for a volume that nobody labelled.
        patient, grader, assisted: as in a Case.
    """

    name: str
    patient: str
    labels: Mapping[str, Path]
    grader: str = ""
    assisted: bool = False


def cases(
    stack: Stack, volume: Volume, file: Path, workdir: Path, *, task: str, modality: str, instrument: str
) -> tuple[list[Case], list[Case]]:
    """Write the slices of a volume into `workdir`; those that show a structure, and those that show none.

    A slice that a labelled structure does not reach has an empty mask where the task allows that (`Structure.absent`);
    else it has none, and is in the second list when no structure is left.

    Args:
        stack: names and labels.
        volume: as `open_volume` cut it.
        file: of the volume, for messages.
        workdir: `slices/` and `masks/<structure>/` are made there.
        task, instrument: of the cases.
        modality: of the task; CT is stored as Hounsfield units + 1024.

    Raises:
        DataContractError: values that are not of the modality, or labels that do not fit the volume.
    """
    try:
        stored = to_uint16(volume.array, modality)
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected=error.expected, next=error.next) from None
    found = {structure: binary(label, volume) for structure, label in stack.labels.items()}
    absent = {structure.name: structure.absent for structure in task_named(task).structures}
    cut = volumes.grid(volume)
    whole = case_id(instrument, stack.name)

    def one(number: int) -> Case:
        named = case_id(instrument, f"{stack.name}-{number:04d}")
        image = workdir / "slices" / f"{named}.png"
        write_png(image, stored[number], _place(cut, volume, number, modality))
        masks = {
            structure: save_mask(workdir / "masks" / structure / f"{named}.png", mask[number])
            for structure, mask in found.items()
            if mask[number].any() or absent[structure]
        }
        return Case(
            id=named, task=task, instrument=instrument, patient=stack.patient, image=image, masks=masks,
            checksum=sha256(image), spacing=volume.spacing[1:] if volume.spacing else None,
            grader=stack.grader if masks else "", assisted=stack.assisted, slice=Slice(whole, number),
        )  # fmt: skip

    made, _ = gather(one, range(len(stored)))
    return [case for case in made if case.masks], [case for case in made if not case.masks]


def binary(file: Path, volume: Volume) -> Bools:
    """A label volume of one structure, cut like its image: bool [Z, H, W].

    Raises:
        DataContractError: cut short, on another grid, empty, inverted, or with several labels.
    """
    intact.check(file)
    labels = open_labels(file, volume)
    values = np.flatnonzero(np.bincount(labels.ravel())).tolist()
    if len(values) > 2 or (len(values) == 2 and values[0]):
        shown = ", ".join(map(str, values[:6])) + (" and more" if len(values) > 6 else "")
        raise DataContractError(f"labels {shown}", where=file, expected="0 and one other",
                                next="write one label volume a structure")  # fmt: skip
    mask: Bools = labels > 0
    if not mask.any():
        raise DataContractError("the label volume is empty", where=file, next="remove it if nobody labelled it")
    z, y, x = (np.array([0, size - 1]) for size in mask.shape)
    if mask[np.ix_(z, y, x)].all():
        raise DataContractError("every corner is inside the label: it looks inverted", where=file)
    return mask


def write_png(file: Path, pixels: npt.NDArray[np.generic], note: Mapping[str, Any]) -> None:
    """A PNG with `note` as JSON in a text chunk: it stays with the picture when the picture is copied."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    text = b"tEXt" + _KEYWORD + b"\0" + json.dumps(note, sort_keys=True).encode("ascii")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    header = 8 + 25  # the signature and the chunk IHDR, which must stay the first
    file.write_bytes(data[:header] + chunk + data[header:])


def note(file: Path) -> dict[str, Any]:
    """What `write_png` wrote beside the pixels; empty for another PNG.

    A slice's note: ``plane``, ``slice``; ``origin``, ``rows``, ``columns``: the place in millimetres (DICOM's
    patient coordinates: left, posterior, superior) of its first pixel's centre, and the steps from one row, and from
    one column, to the next; ``millimetres``: false where the volume does not say how large a voxel is;
    ``stored``: what was added to its numbers.
    """
    data = file.read_bytes()
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        content = data[place + 8 : place + 8 + length]
        if kind == b"tEXt" and content.startswith(_KEYWORD + b"\0"):
            found: dict[str, Any] = json.loads(content[len(_KEYWORD) + 1 :])
            return found
        place += length + 12
    return {}


def _place(cut: Any, volume: Volume, number: int, modality: str) -> dict[str, Any]:
    return {
        "plane": volume.plane,
        "slice": number,
        "slices": len(volume.array),
        **volumes.place(cut, number),
        "millimetres": volume.spacing is not None,
        "stored": HU_OFFSET if modality == "ct" else 0,
    }
