"""Labelled cases for other programs: COCO's JSON with run lengths, pairs of NIfTI files, or plain PNG masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError
from parfocal.preprocessing.exchange import landing
from parfocal.preprocessing.exchange.landing import IMAGES, Labelled
from parfocal.preprocessing.images import decode_image

Cases = Iterable[Labelled]


def coco(cases: Cases, out: Path, structures: Sequence[str]) -> int:
    """`annotations.json` and the pictures: https://cocodataset.org/#format-data, masks as uncompressed run lengths."""
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers = {structure: number for number, structure in enumerate(structures, start=1)}
    with landing.new_folder(out) as folder:
        (folder / IMAGES).mkdir()
        for case in cases:
            file = f"{case.name}{case.image.suffix.lower()}"
            shutil.copyfile(case.image, folder / IMAGES / file)
            height, width = decode_image(case.image.read_bytes()).shape[:2]
            spacing = {"spacing_mm": list(case.spacing)} if case.spacing else {}
            pictures.append({"id": len(pictures) + 1, "file_name": file, "width": width, "height": height,
                             "patient": case.patient, **spacing})  # fmt: skip
            for structure, mask in case.masks.items():
                drawn = {"id": len(annotations) + 1, "image_id": len(pictures), "category_id": numbers[structure]}
                by = {"grader": case.grader, "assisted": case.assisted}
                annotations.append({**drawn, "iscrowd": 0, **_measured(mask), "attributes": by})
        _refuse_nothing(pictures, out)
        categories = [{"id": number, "name": structure} for structure, number in numbers.items()]
        told = {"info": {"description": "exported by Parfocal"}, "images": pictures, "annotations": annotations,
                "categories": categories}  # fmt: skip
        (folder / "annotations.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    return len(pictures)


def png(cases: Cases, out: Path, structures: Sequence[str]) -> int:
    """The plain layout: images/, a folder a structure with masks of 0 and 255, cases.csv."""
    return landing.write(cases, out, structures)


def nifti(cases: Cases, out: Path, structures: Sequence[str]) -> int:
    """images/NAME.nii.gz and labels/NAME.nii.gz, one slice each, and labels.json with the structures' numbers.

    A structure inside another is written over it. Colour pictures have three numbers a voxel, red first. CT slices are
    in Hounsfield units and lie where they lay in their volume; pictures lie at the origin.
    """
    sitk = simpleitk()
    count = 0
    with landing.new_folder(out) as folder:
        for name in (IMAGES, "labels"):
            (folder / name).mkdir()
        for case in cases:
            pixels = decode_image(case.image.read_bytes())
            stored = case.note.get("stored", 0)
            array = pixels[..., ::-1] if pixels.ndim == 3 else pixels.astype(np.int32) - stored if stored else pixels
            label = np.zeros(pixels.shape[:2], np.uint8)
            for number, structure in enumerate(structures, start=1):
                if structure in case.masks:
                    label[case.masks[structure]] = number
            for kind, content in ((IMAGES, array), ("labels", label)):
                image = sitk.GetImageFromArray(np.ascontiguousarray(content)[None], isVector=content.ndim == 3)
                _place(image, case)
                sitk.WriteImage(image, str(folder / kind / f"{case.name}.nii.gz"), True)
            count += 1
        _refuse_nothing(range(count), out)
        numbers = {structure: number for number, structure in enumerate(structures, start=1)}
        (folder / "labels.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return count


FORMATS: Mapping[str, Callable[[Cases, Path, Sequence[str]], int]] = {"coco": coco, "nifti": nifti, "png": png}


def runs(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """COCO's run lengths, not compressed: down the columns, of pixels outside first (cocoapi, maskApi.h, rleEncode)."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def _measured(mask: NDArray[np.bool_]) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [0, 0, 0, 0]
    if len(rows):
        top, left = int(rows[0]), int(columns[0])
        box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
    return {"segmentation": runs(mask), "area": int(mask.sum()), "bbox": box}


def _place(image: Any, case: Labelled) -> None:
    row, column = case.spacing or (1.0, 1.0)
    image.SetSpacing((column, row, 1.0))
    if not {"origin", "rows", "columns"} <= case.note.keys():
        return
    down, across = (np.array(case.note[name], float) for name in ("rows", "columns"))
    steps = np.linalg.norm(across), np.linalg.norm(down)
    if min(steps) > 0:
        image.SetSpacing((float(steps[0]), float(steps[1]), 1.0))
        axes = np.stack([across / steps[0], down / steps[1], np.cross(across / steps[0], down / steps[1])], axis=1)
        image.SetDirection(axes.ravel().tolist())
        image.SetOrigin([float(at) for at in case.note["origin"]])


def _refuse_nothing(cases: Sequence[Any], out: Path) -> None:
    if not len(cases):
        raise DataContractError("there is no labelled case", where=out, next="label some first")
