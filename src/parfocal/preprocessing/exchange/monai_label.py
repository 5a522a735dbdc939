"""A folder as MONAI Label keeps it: images beside one another, labels/final/, and datastore_v2.json that lists both.

Its label files hold numbers; `label_info` says which structure a number is, where a client stored it. A label for whose
image the model's own is kept (labels/original/) is assisted. Volumes go into the layout of the reader `volume`,
pictures into that of `folder`. https://docs.monai.io/projects/label (datastore: local)
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core import intact, volumes
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError
from parfocal.core.types import Problem
from parfocal.core.volumes import SUFFIXES
from parfocal.preprocessing.exchange import landing
from parfocal.preprocessing.exchange.landing import Labelled
from parfocal.preprocessing.images import decode_image

DATASTORE, FINAL, ORIGINAL = "datastore_v2.json", "final", "original"
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Found:
    """An image with its final label.

    Attributes:
        numbers: structure by number in the label; a structure may have several.
    """

    name: str
    image: Path
    label: Path
    numbers: Mapping[int, str]
    assisted: bool
    by: str


def find(folder: Path, structures: Sequence[str], labels: Mapping[str, str], problems: list[Problem]) -> list[Found]:
    """What is labelled.

    Args:
        folder: of the datastore.
        structures: of the task.
        labels: structure by number or by name, for labels that are called otherwise.
        problems: gets what is left out, and why.

    Raises:
        DataContractError: there is no datastore_v2.json, or it is none.
    """
    store = _store(folder)
    found = []
    for name, one in store["objects"].items():
        try:
            found.append(_one(folder, store, name, one, structures, labels))
        except DataContractError as error:
            problems.append(Problem(Path(error.where) if error.where else folder / name, error.what, error.next))
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(Problem(folder / DATASTORE, f"'{name}' is not listed as MONAI Label does", "see its entry"))
    return found


def pictures(found: Sequence[Found], grader: str, problems: list[Problem]) -> Iterator[Labelled]:
    """The pictures among what was found, as cases."""
    for one in found:
        if one.image.name.lower().endswith(SUFFIXES):
            continue
        try:
            size = decode_image(one.image.read_bytes()).shape[:2]
            label = decode_image(one.label.read_bytes())
            label = label[..., 0] if label.ndim == 3 else label
            if label.shape != size:
                raise DataContractError(f"a label of {label.shape}, and its picture has {size}")
            yield Labelled(one.name, one.image, _masks(label, one), grader=one.by or grader, assisted=one.assisted)
        except (DataContractError, OSError) as error:
            problems.append(Problem(one.label, str(error.args[0]), "label it again in MONAI Label"))


def write_volumes(found: Sequence[Found], out: Path, grader: str, problems: list[Problem]) -> int:
    """The volumes among what was found, in the layout of the reader `volume`; how many."""
    rows = []
    with landing.new_folder(out) as folder:
        for one in found:
            if not one.image.name.lower().endswith(SUFFIXES):
                continue
            try:
                _volume(folder, one)
            except (DataContractError, OSError) as error:
                problems.append(Problem(one.label, str(error.args[0]), "label it again in MONAI Label"))
                continue
            rows.append([one.name, one.name, one.by or grader, "yes" if one.assisted else ""])
        if not rows:
            told = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])
            raise DataContractError("not one volume could be taken over", where=out, next=told)
        with (folder / landing.TABLE).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([["name", "patient", "grader", "assisted"], *rows])
        if problems:
            listed = [{"file": str(one.file), "reason": one.reason, "next": one.next} for one in problems]
            (folder / landing.PROBLEMS).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return len(rows)


def _store(folder: Path) -> dict[str, Any]:
    file = folder / DATASTORE
    try:
        found = json.loads(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("objects"), dict):
            return found
    except (OSError, ValueError):
        pass
    raise DataContractError(
        "not a folder of MONAI Label", where=file, expected=f"{DATASTORE}, images and labels/{FINAL}/"
    )


def _one(
    folder: Path, store: Mapping[str, Any], name: str, one: Mapping[str, Any], structures: Sequence[str],
    labels: Mapping[str, str],
) -> Found:  # fmt: skip
    if Path(name).name != name:
        raise DataContractError("it lies outside of the datastore", where=folder / DATASTORE)
    final = one.get("labels", {}).get(FINAL)
    if final is None:
        raise DataContractError("nobody labelled it", where=folder / name, next="submit a label in MONAI Label")
    images, kept = folder / store.get("images_dir", "."), folder / store.get("labels_dir", "labels")
    image, label = (
        _inside(folder, images / (name + one["image"]["ext"])),
        _inside(folder, kept / FINAL / (name + final["ext"])),
    )
    for file in (image, label):
        if not file.is_file():
            raise DataContractError("it is listed, and not there", where=file, next="copy the whole datastore")
    info = final.get("info") or {}
    told = {int(entry["idx"]): str(entry["name"]) for entry in info.get("label_info") or () if "idx" in entry}
    numbers = _numbers(told, structures, labels, label)
    return Found(
        name, image, label, numbers, ORIGINAL in one["labels"], str(info.get("client_id") or info.get("user") or "")
    )


def _inside(folder: Path, file: Path) -> Path:
    """A file of the datastore: a name with `..` in it leads nowhere."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DataContractError("it lies outside of the datastore", where=file)
    return file


def _numbers(
    told: Mapping[int, str], structures: Sequence[str], labels: Mapping[str, str], label: Path
) -> dict[int, str]:
    """Structure by number: by --label, else by the name that a client stored; one structure alone needs neither."""
    by_number = {int(given): structure for given, structure in labels.items() if given.isdigit()}
    by_name = {number: labels.get(name, name.strip().lower()) for number, name in told.items()}
    found = {number: name for number, name in {**by_name, **by_number}.items() if name in structures}
    if found:
        return found
    if len(structures) == 1 and not told:
        return {1: structures[0]}
    raise DataContractError(
        "which number is which structure is not said", where=label, next=f"--label 1={structures[0]}"
    )


def _masks(label: Array, one: Found) -> dict[str, NDArray[np.bool_]]:
    unknown = sorted(set(np.unique(label).tolist()) - {0, *one.numbers})
    if unknown:
        raise DataContractError(f"the label holds {unknown[0]}, which is no structure", next="--label NUMBER=STRUCTURE")
    masks = {
        structure: np.isin(label, [number for number, name in one.numbers.items() if name == structure])
        for structure in dict.fromkeys(one.numbers.values())
    }
    found = {structure: mask for structure, mask in masks.items() if mask.any()}
    if not found:
        raise DataContractError("the label is empty")
    return found


def _volume(folder: Path, one: Found) -> None:
    intact.check(one.image)
    volume = volumes.open_volume(one.image, "axial")
    array = volumes.open_labels(one.label, volume)
    ending = next(
        ending for ending in sorted(SUFFIXES, key=len, reverse=True) if one.image.name.lower().endswith(ending)
    )
    for structure, mask in _masks(array, one).items():
        (folder / structure).mkdir(exist_ok=True)
        simpleitk().WriteImage(volumes.labels_like(volume, mask), str(folder / structure / f"{one.name}.nii.gz"), True)
    (folder / landing.IMAGES).mkdir(exist_ok=True)
    shutil.copyfile(one.image, folder / landing.IMAGES / f"{one.name}{ending}")
