"""What can be segmented: pictures and volumes, named one by one or by their folders, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.dicom import is_dicom
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.image_size import PNG
from parfocal.core.volumes import HU_OFFSET
from parfocal.core.volumes import SUFFIXES as VOLUMES
from parfocal.evaluation.glaucoma import Eye
from parfocal.preprocessing.images import Picture, decode_image
from parfocal.preprocessing.shards import read_dataset
from parfocal.readers.dicom import FLAT
from parfocal.readers.dicom_headers import header, refuse_other
from parfocal.readers.files import PICTURES, visible
from parfocal.readers.slices import note
from parfocal.readers.table import TABLE
from parfocal.readers.table import read as read_table

IMAGES = "images"
IMAGE_LATERALITY, LATERALITY = "0020|0062", "0020|0060"
_EYES: Mapping[str, Eye] = {"L": "left", "R": "right"}


@dataclass(frozen=True, slots=True)
class Source:
    """One picture or volume.

    Attributes:
        name: of what is written for it.
        file: of a picture or volume, or a folder with a DICOM series.
        volume: many slices rather than one picture.
        truth: file of a mask by structure, where somebody drew one.
        patient: key of the patient; the name where nobody says it.
        spacing: (row, column) size of a pixel in millimetres, where known.
    """

    name: str
    file: Path
    volume: bool = False
    truth: Mapping[str, Path] = field(default_factory=dict)
    patient: str = ""
    spacing: tuple[float, float] | None = None


def find(images: Iterable[Path], modality: str = "", structures: Sequence[str] = ()) -> list[Source]:
    """The sources among files and folders, whose names have to differ.

    A folder holds pictures and volumes, or a DICOM series, or `images/` with masks beside it in a folder a structure
    (the layout of the reader `folder`), or is a sealed dataset. Truths are of pictures alone.

    Args:
        images: files and folders.
        modality: of the task; of one that has no volumes, a folder of DICOM is a picture a file.
        structures: whose masks are looked for.

    Raises:
        DataContractError: there is no such file, nothing in a folder, or a table or dataset that cannot be read.
        UsageError: two would be called the same.
    """
    found: list[Source] = []
    for path in images:
        if path.is_dir():
            found += _inside(path, modality, structures)
        elif path.is_file():
            found.append(_of_file(path))
        else:
            raise DataContractError("no such image", where=path, next="look for a typing error in the path")
    names = [source.name for source in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two images are called {', '.join(twice)}, and their masks would be too",
            next="rename one, or segment them into two folders",
        )
    return found


def decoded(file: Path, modality: str) -> Picture:
    """A picture: uint8 BGR [H, W, 3] or uint16 grey [H, W].

    Raises:
        DataContractError: it cannot be read, or is not of the modality.
    """
    if is_dicom(file):
        return _dicom(file, modality)
    _refuse_other_slices(file, modality)
    try:
        return decode_image(file.read_bytes())
    except DataContractError as error:
        raise DataContractError(error.what, where=file, expected="a picture", next=error.next) from None


def laterality(file: Path) -> Eye | None:
    """Which eye a DICOM photograph says that it shows (PS3.3 C.7.6.1 and C.8.17.4); None where nothing says it."""
    if not is_dicom(file):
        return None
    said = header(file)
    return _EYES.get((said[IMAGE_LATERALITY] or said[LATERALITY]).strip())


def suffix(file: Path) -> str:
    """The ending of a volume's name, such as ``.nii.gz``; empty for another file."""
    return next((ending for ending in sorted(VOLUMES, key=len, reverse=True) if file.name.lower().endswith(ending)), "")


def _inside(folder: Path, modality: str, structures: Sequence[str]) -> list[Source]:
    if (folder / manifest.MANIFEST).is_file():
        return _of_dataset(folder)
    if (folder / IMAGES).is_dir():
        return _with_truth(folder, _inside(folder / IMAGES, modality, ()), structures)
    slices = [file for file in visible(folder) if is_dicom(file)]
    if slices:
        return [_of_file(file) for file in slices] if modality in FLAT else [Source(folder.name, folder, volume=True)]
    files = [file for file in visible(folder) if file.name.lower().endswith((*PICTURES, *VOLUMES))]
    if not files:
        raise DataContractError("no pictures in this folder", where=folder, expected=", ".join((*PICTURES, *VOLUMES)))
    return [_of_file(file) for file in files]


def _of_file(file: Path) -> Source:
    ending = suffix(file)
    return Source(file.name[: -len(ending)] if ending else file.stem, file, volume=bool(ending))


def _of_dataset(folder: Path) -> list[Source]:
    manifest.verify(folder, "dataset")
    dataset = read_dataset(folder)
    labelled = [
        Source(
            case.id, folder / case.image, patient=case.patient, spacing=case.spacing,
            truth={name: folder / path for name, path in case.masks.items()},
        )
        for case in dataset.cases
    ]  # fmt: skip
    return [*labelled, *(Source(one.id, folder / one.image, patient=one.patient) for one in dataset.unlabelled)]


def _with_truth(folder: Path, sources: list[Source], structures: Sequence[str]) -> list[Source]:
    pictures = {source.name: source.file for source in sources if not source.volume}
    rows, _ = read_table(folder / TABLE, pictures, structures=tuple(structures))
    found = []
    for source in sources:
        masks = {structure: folder / structure / f"{source.name}.png" for structure in structures}
        row = rows.get(source.name)
        found.append(
            Source(
                source.name, source.file, source.volume,
                {} if source.volume else {name: file for name, file in masks.items() if file.is_file()},
                row.patient if row else "",
                row.spacing if row else None,
            )
        )  # fmt: skip
    return found


def _dicom(file: Path, modality: str) -> Picture:
    """The one picture of a DICOM file, by the rules of the reader."""
    if modality not in FLAT:
        raise DataContractError(
            "one DICOM slice", where=file, expected="its whole series", next=f"name the folder: {file.parent}"
        )
    one = header(file)
    refuse_other(one, modality)
    return FLAT[modality](one)


def _refuse_other_slices(file: Path, modality: str) -> None:
    """Refuse a slice whose note, left by the reader that cut it, says that it is CT where it should not be, or not."""
    with file.open("rb") as stream:
        told = note(file) if stream.read(len(PNG)) == PNG else {}
    if modality and "stored" in told and (told["stored"] == HU_OFFSET) is not (modality == "ct"):
        what = "a slice of CT" if told["stored"] == HU_OFFSET else "a slice that is no CT"
        raise DataContractError(what, where=file, expected=f"a picture of {modality}", next="take another bundle")
