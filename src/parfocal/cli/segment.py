"""`parfocal segment`: masks, an overlay and indicators of pictures and volumes, from a trained bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli.console import Options
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.volumes import SUFFIXES as VOLUMES

if TYPE_CHECKING:
    from parfocal.augmentation.clicks import Click
    from parfocal.core.protocols import Reporter
    from parfocal.evaluation.glaucoma import Eye
    from parfocal.evaluation.suspicion import Suspicion
    from parfocal.inference.postprocess import PostConfig
    from parfocal.inference.segmenters import Masks, Segmenter
    from parfocal.preprocessing.images import Picture

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
COLOURS = ((80, 220, 80), (60, 120, 255), (255, 160, 60), (220, 80, 220))
"""BGR, of the structures' outlines in their order."""


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Bundle folder, or a version or alias (champion) of the registry.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write; new.")
@click.option("--task", default="fundus", show_default=True, help="Whose registry --model is looked up in.")
@click.option("--runtime", default="auto", show_default=True, help="openvino, pytorch, or the first exported one.")
@click.option(
    "--post",
    default="",
    metavar="STEPS",
    help="Post-processing, in order. Default: the task's own.",
)
@click.option("--clicks", default="", metavar="'ROW,COL ...'", help="Clicks on the one IMAGE; -ROW,COL is background.")
@click.option(
    "--structure",
    default="",
    help="What --clicks belong to (default: the outermost structure); of a volume: write this one alone.",
)
@click.option("--series", default="", metavar="UID", help="Which one, of a folder with several DICOM series.")
@click.option("--eye", multiple=True, type=click.Choice(["left", "right"]), help="Once for all, or once an IMAGE.")
@click.option("--same-person", is_flag=True, help="The two IMAGES are the two eyes of one person.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
def segment(
    images: tuple[Path, ...],
    model: str,
    out: Path,
    task: str,
    runtime: str,
    post: str,
    clicks: str,
    structure: str,
    series: str,
    eye: tuple[Eye, ...],
    same_person: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the masks of IMAGES (files, or folders of pictures) with a trained bundle.

    \b
    A folder of photographs:   parfocal segment photos/ --model runs/first --out masks
    The champion, two eyes:    parfocal segment r.jpg l.jpg --model champion --eye right --eye left
                               --same-person --out masks
    Rounder outlines:          parfocal segment a.jpg --model runs/first --post largest,holes,ellipse --out masks
    Steered by clicks:         parfocal segment a.jpg --model runs/clicked --clicks '210,340 -80,60' --out masks
    A CT or MR volume:         parfocal segment scan.nii.gz --model runs/bone --out masks
    A folder of DICOM slices:  parfocal segment series/ --model runs/bone --out masks

    OUT gets, for each picture, NAME-STRUCTURE.png (0 and 255, as large as the picture), NAME-overlay.jpg with the
    outlines, and results.json. For a volume it gets a label volume in the source's own space. What cannot be read is
    left out and told at the end; the others are written.

    Post-processing: largest (one piece), holes (filled), convex, ellipse (the shape an ophthalmologist draws), inside
    (within the outer structure), crf (the outline moves to edges in the picture; needs 'parfocal[crf]'), or none.
    A bundle is judged and served with its task's own steps: others make other masks than those it was promoted with.

    Of photographs with disc and cup, cup-to-disc ratios and the ISNT rule are printed beside their published ranges.
    They are indicators for a clinician and no diagnosis. ISNT needs --eye.
    """
    from parfocal.evaluation.suspicion import read

    options = Options(None, (), as_json, quiet)
    files = _files(images)
    _check(files, clicks, post, eye, same_person)
    config, given, folder = _post(post), _parsed(clicks), _bundle(model, task)
    modality = _modality(folder)
    files = _pictures(files, modality)
    volumes = _check(files, clicks, post, eye, same_person)
    pictures = len(volumes) < len(files)
    segmenter = _segmenter(folder, runtime, config, given, structure) if pictures else None
    _new(out)
    eyes: Sequence[Eye | None] = eye * len(files) if len(eye) == 1 else eye or [None] * len(files)
    results: dict[str, Any] = {}
    found: dict[str, Suspicion | None] = {}
    left: list[DataContractError] = []
    with options.reporter() as report:
        for done, file in enumerate(files):
            report.progress("segment", done, len(files))
            name = _name(file)
            try:
                if segmenter is None or file in volumes:
                    results[name] = _volume(file, folder, out, runtime, structure, series, report)
                else:
                    image = _decoded(file, modality)
                    masks = segmenter(image)
                    results[name] = _written(out, name, image, masks)
                    found[name] = read(masks, eyes[done])
            except DataContractError as error:
                left.append(DataContractError(error.what, where=error.where or file, expected=error.expected,
                                              next=error.next))  # fmt: skip
        report.progress("segment", len(files), len(files))
    if left and not results:
        raise left[0]
    if same_person and not left:
        found = _compared(found)
    for name, one in found.items():
        results[name]["glaucoma"] = one.as_dict() if one else None
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    options.result({"out": out, "results": results}, _text(results, found, out))
    if left:
        told = "".join(f"\n    {error.where}: {error.what}" for error in left)
        raise DataContractError(f"{len(left)} of {len(files)} could not be segmented:{told}", where=out,
                                next="the others are written; mend these and segment them alone")  # fmt: skip


def _files(images: Sequence[Path]) -> list[Path]:
    """Files named, folders of DICOM named, and the pictures and volumes of other folders; every name once."""
    files: list[Path] = []
    for path in images:
        if path.is_dir() and _is_volume(path):
            files.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.lower().endswith(PICTURES + VOLUMES))
            if not inside:
                raise DataContractError(
                    "no pictures in this folder", where=path, expected=", ".join(PICTURES + VOLUMES)
                )
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise DataContractError("no such image", where=path, next="look for a typing error in the path")
    return _apart(files)


def _pictures(files: list[Path], modality: str) -> list[Path]:
    """The files; of a modality that has no volumes, a folder of DICOM is a picture a file."""
    from parfocal.core.dicom import is_dicom
    from parfocal.readers.dicom import FLAT

    if modality not in FLAT or not any(file.is_dir() for file in files):
        return files
    return _apart(
        [one for file in files for one in (sorted(filter(is_dicom, file.iterdir())) if file.is_dir() else [file])]
    )


def _apart(files: list[Path]) -> list[Path]:
    """The files, whose names have to differ: those of what is written are made of them."""
    names = [_name(file) for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two images are called {', '.join(twice)}, and their masks would be too",
            next="rename one, or segment them into two folders",
        )
    return files


def _check(files: Sequence[Path], clicks: str, post: str, eye: Sequence[str], same_person: bool) -> list[Path]:
    """The volumes among the files, if what was asked for fits them."""
    volumes = [file for file in files if _is_volume(file)]
    if clicks and len(files) != 1:
        raise UsageError(f"--clicks belong to one image, and there are {len(files)}", next="segment it alone")
    if clicks and volumes:
        raise UsageError("a volume is not clicked", next="click one of its slices, saved as a picture")
    if post and volumes:
        raise UsageError("--post is for pictures", where=volumes[0], next="leave it out; volumes get the task's steps")
    if len(eye) not in {0, 1, len(files)}:
        raise UsageError(f"--eye {len(eye)} times for {len(files)} images", expected="once, or once an image")
    if same_person and len(files) != 2:
        raise UsageError(f"--same-person with {len(files)} images", expected="the photographs of two eyes")
    return volumes


def _new(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise UsageError("the folder to write is not empty", where=out, next="name another; nothing is overwritten")
    out.mkdir(parents=True, exist_ok=True)


def _bundle(model: str, task: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from parfocal.adapters import connect

    platform = connect()
    return platform.models.fetch(task, model, platform.settings.state / "models")


def _post(steps: str) -> PostConfig | None:
    from parfocal.inference.postprocess import PostConfig

    if not steps:
        return None
    return PostConfig(steps=() if steps == "none" else tuple(step.strip() for step in steps.split(",")))


def _segmenter(
    folder: Path, runtime: str, post: PostConfig | None, clicks: Sequence[Click], structure: str
) -> Segmenter:
    from parfocal.core import bundle
    from parfocal.inference import segmenters

    spec = bundle.read(folder)
    if clicks or structure:
        return segmenters.clicked(folder, spec, structure or next(iter(spec.structures)), clicks, runtime, post)
    steered = [name for name, model in spec.structures.items() if model.objective == "interact"]
    if steered:
        raise UsageError(
            f"this model draws {', '.join(steered)} where it is clicked", where=folder, next="give --clicks 'ROW,COL'"
        )
    return segmenters.cascade(folder, spec, runtime, post)


def _parsed(text: str) -> tuple[Click, ...]:
    from parfocal.augmentation.clicks import Click

    found = []
    for word in text.split():
        row, comma, column = word.lstrip("+-").partition(",")
        if not (comma and row.isdigit() and column.isdigit()):
            raise UsageError(f"cannot read the click '{word}'", expected="ROW,COL for the object, -ROW,COL for not")
        found.append(Click(int(row), int(column), object=not word.startswith("-")))
    return tuple(found)


def _decoded(file: Path, modality: str) -> Picture:
    from parfocal.core.dicom import is_dicom
    from parfocal.preprocessing.images import decode_image

    if is_dicom(file):
        return _dicom(file, modality)
    _refuse_other_slices(file, modality)
    try:
        return decode_image(file.read_bytes())
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected="a picture", next=error.next) from None


def _modality(folder: Path) -> str:
    """Of a bundle's task; empty for a task that is not known here."""
    from parfocal.core import bundle
    from parfocal.core.task import TASKS

    name = bundle.read(folder).task
    return TASKS[name].modality if name in TASKS else ""


def _dicom(file: Path, modality: str) -> Picture:
    """The one picture of a DICOM file, by the rules of the reader."""
    from parfocal.readers.dicom import FLAT
    from parfocal.readers.dicom_headers import header, refuse_other

    if modality not in FLAT:
        raise DataContractError(
            "one DICOM slice", where=file, expected="its whole series", next=f"name the folder: {file.parent}"
        )
    one = header(file)
    refuse_other(one, modality)
    return FLAT[modality](one)


def _refuse_other_slices(file: Path, modality: str) -> None:
    """Refuse a slice whose note, left by the reader that cut it, says that it is CT where it should not be, or not."""
    from parfocal.core.image_size import PNG
    from parfocal.core.volumes import HU_OFFSET
    from parfocal.readers.slices import note

    with file.open("rb") as stream:
        told = note(file) if stream.read(len(PNG)) == PNG else {}
    if modality and "stored" in told and (told["stored"] == HU_OFFSET) is not (modality == "ct"):
        what = "a slice of CT" if told["stored"] == HU_OFFSET else "a slice that is no CT"
        raise DataContractError(what, where=file, expected=f"a picture of {modality}", next="take another bundle")


def _volume(
    file: Path, bundle: Path, out: Path, runtime: str, structure: str, series: str, report: Reporter
) -> dict[str, Any]:
    """Labels as a file; what results.json says of them."""
    from parfocal.inference.predictor import Predictor
    from parfocal.inference.volume import segment_volume

    labels = out / f"{_name(file)}-labels{_suffix(file) or '.nii.gz'}"

    def progress(done: int, total: int) -> None:
        report.progress(f"slices of {_name(file)}", done, total)

    written = segment_volume(
        file, Predictor(bundle, runtime), labels, structure=structure, series=series, progress=progress
    )
    return {"file": str(labels), **asdict(written)}


def _written(out: Path, name: str, image: Picture, masks: Masks) -> dict[str, Any]:
    """Masks and overlay as files; what results.json says of them."""
    from parfocal.preprocessing.images import encode_mask

    files = {structure: out / f"{name}-{structure}.png" for structure in masks}
    for structure, mask in masks.items():
        files[structure].write_bytes(encode_mask(mask.astype("uint8")))
    overlay = out / f"{name}-overlay.jpg"
    overlay.write_bytes(_overlay(image, masks))
    return {
        "masks": {structure: str(file) for structure, file in files.items()},
        "pixels": {structure: int(mask.sum()) for structure, mask in masks.items()},
        "overlay": str(overlay),
    }


def _overlay(image: Picture, masks: Masks) -> bytes:
    """JPEG of the picture with every structure's outline."""
    import cv2
    import numpy as np

    from parfocal.preprocessing.images import shown

    drawn = shown(image).copy()
    width = max(1, round(max(image.shape[:2]) / 500))
    for (_, mask), colour in zip(masks.items(), COLOURS * len(masks), strict=False):
        lines, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines, -1, colour, width, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def _compared(found: Mapping[str, Suspicion | None]) -> dict[str, Suspicion | None]:
    """The two eyes of one person, each read again beside the other."""
    (one, its), (other, others) = found.items()
    if its is None or others is None:
        return dict(found)
    return {one: its.beside(others), other: others.beside(its)}


def _text(results: Mapping[str, Any], found: Mapping[str, Suspicion | None], out: Path) -> str:
    from parfocal.evaluation.suspicion import WARNING

    lines = []
    for name, result in results.items():
        unit = "pixels" if "pixels" in result else "voxels"
        sizes = (f"{key} {count} {unit}" if count else f"{key} not found" for key, count in result[unit].items())
        lines.append(f"{name}: {', '.join(sizes)}")
        one = found.get(name)
        lines += [one.text()] if one else []
    return "\n".join([*lines, *([WARNING] if any(found.values()) else []), f"written to {out}"])


def _is_volume(path: Path) -> bool:
    """A file of slices, or a folder with a DICOM series."""
    if path.is_dir():
        from parfocal.core.dicom import is_dicom

        return any(map(is_dicom, path.iterdir()))
    return path.name.lower().endswith(VOLUMES)


def _suffix(file: Path) -> str:
    return next((ending for ending in sorted(VOLUMES, key=len, reverse=True) if file.name.lower().endswith(ending)), "")


def _name(file: Path) -> str:
    return file.name[: -len(_suffix(file))] if _suffix(file) else file.stem
