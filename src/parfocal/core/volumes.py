"""Volumes as stacks of slices: opened, cut in one plane the right way up, and labels laid back where they came from.

Readers cut the volumes that are learned from and inference cuts those that are answered; both do it here, so a slice
means the same to both. SimpleITK is only loaded when a volume is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.core import dicom, intact, volume_size
from parfocal.core.dicom import simpleitk
from parfocal.core.errors import DataContractError

Plane = Literal["acquired", "axial", "coronal", "sagittal"]
SUFFIXES = intact.SUFFIXES
HU_OFFSET = 1024
"""Added to Hounsfield units so that a 16-bit grey file can hold them."""
CODES = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
"""Where columns, rows and slices lead: the right of the patient, or the front, at the left; the head, or front, up."""
_AIR = -900
"""Hounsfield units down to which the numbers of MR do not reach."""
_NARROW = 200
"""Hounsfield units: from air or fat to bone are more; what spans less was scaled to -1..1, or by its deviation."""
_THICKER = 1.5
_NOWHERE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A stack of slices.

    Attributes:
        array: [Z, H, W], the numbers of the file (of CT: Hounsfield units) after its own scaling.
        spacing: (slice, row, column) in millimetres; None when the file does not say.
        plane: that was cut: axial, coronal or sagittal, whichever is nearest in an oblique volume.
        source: SimpleITK image as it was read: size, spacing, origin and direction of the file.
    """

    array: NDArray[np.generic]
    spacing: tuple[float, float, float] | None
    plane: str
    source: Any


def is_volume(path: Path) -> bool:
    """Whether a file's name is that of a volume."""
    return path.name.lower().endswith(SUFFIXES)


def open_volume(path: Path, plane: Plane = "acquired", *, series: str = "") -> Volume:
    """Read a NIfTI, NRRD or MHA file, or a folder with one DICOM series, and cut it.

    Args:
        path: file or folder.
        plane: ``acquired`` is the one across the thickest spacing, and axial when none is 1.5 times the least.
        series: which one of a folder with several DICOM series.

    Raises:
        DataContractError: unreadable, huge, not three-dimensional, in colour, or a DICOM series with gaps or without
            places.
        UsageError: SimpleITK is not installed.
    """
    path, sitk = Path(path), simpleitk()
    if path.is_file():
        volume_size.refuse_huge(path)
    try:
        image = dicom.read(path, series) if path.is_dir() else sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise DataContractError(f"unreadable or cut short: {_reason(error)}", where=path) from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise DataContractError("a colour picture instead of a volume", where=path, expected="one number a voxel")
    if image.GetDimension() != 3:
        raise DataContractError(f"{image.GetDimension()} dimensions", where=path, expected="three")
    if path.is_file():
        intact.check(path)  # ITK takes much that is not whole without a word
    if not 1e-9 < abs(np.linalg.det(np.reshape(image.GetDirection(), (3, 3)))) < 1e9:
        raise DataContractError("its axes do not span a space", where=path, next="mend the direction in its header")
    chosen = acquired(image) if plane == "acquired" else plane
    cut = sitk.DICOMOrient(image, CODES[chosen])
    x, y, z = cut.GetSpacing()
    known = dicom.has_spacing(path, series) if path.is_dir() else _has_spacing(path, image)
    return Volume(sitk.GetArrayFromImage(cut), (z, y, x) if known else None, chosen, image)


def open_labels(path: Path, volume: Volume) -> NDArray[np.uint16]:
    """Read the label volume of `volume`, cut as it is: uint16 [Z, H, W].

    Raises:
        DataContractError: unreadable, labels that are no whole numbers from 0 to 65535, or on another grid.
    """
    sitk = simpleitk()
    volume_size.refuse_huge(path)
    try:
        labels = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise DataContractError(f"unreadable or cut short: {_reason(error)}", where=path) from None
    difference = _differs(labels, volume.source)
    if difference:
        raise DataContractError(
            f"another {difference} than its image", where=path, next="resample the labels on the image, nearest voxel"
        )
    labels.CopyInformation(volume.source)
    array = sitk.GetArrayFromImage(sitk.DICOMOrient(labels, CODES[volume.plane]))
    with np.errstate(invalid="ignore"):
        whole: NDArray[np.uint16] = array.astype(np.uint16)
    if not np.array_equal(whole, array):
        raise DataContractError("labels that are no whole numbers", where=path, expected="0, 1, 2 ...")
    return whole


def labels_like(volume: Volume, labels: NDArray[np.generic]) -> Any:
    """A SimpleITK image of `labels` [Z, H, W], cut like `volume`, in the source's space: voxel on voxel."""
    sitk = simpleitk()
    if labels.shape != volume.array.shape:
        raise DataContractError(f"labels of {list(labels.shape)}", expected=str(list(volume.array.shape)))
    placed = sitk.GetImageFromArray(labels.astype(np.uint8) if labels.dtype == np.bool_ else labels)
    placed.CopyInformation(grid(volume))
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(volume.source.GetDirection())
    back = sitk.DICOMOrient(placed, code)
    difference = _differs(back, volume.source)
    if difference:  # axes at 45 degrees have two nearest names; never answer in the wrong place
        raise DataContractError(f"the labels came back with another {difference}", next="resample the volume first")
    back.CopyInformation(volume.source)
    return back


def grid(volume: Volume) -> Any:
    """The slices' own space: a SimpleITK image whose array is `volume.array`."""
    return simpleitk().DICOMOrient(volume.source, CODES[volume.plane])


def place(cut: Any, number: int) -> dict[str, list[float]]:
    """Where slice `number` of a `grid` lies, in millimetres of the patient (DICOM's left, posterior, superior).

    Returns:
        `origin`, its first pixel's centre; `rows` and `columns`, the steps to the next row and column.
    """
    origin, row, column = (
        np.array(cut.TransformIndexToPhysicalPoint(index)) for index in ((0, 0, number), (0, 1, number), (1, 0, number))
    )
    return {
        "origin": origin.round(6).tolist(),
        "rows": (row - origin).round(6).tolist(),
        "columns": (column - origin).round(6).tolist(),
    }


def to_uint16(array: NDArray[np.generic], modality: str) -> NDArray[np.uint16]:
    """The numbers of a whole volume as 16-bit grey, uint16 of the same shape.

    CT: Hounsfield units + 1024, clipped to 0..65535 (scanners pad with -2000 and less). Others: their own numbers where
    these are whole and fit, else scaled from (least, greatest) to (0, 65535).

    Raises:
        DataContractError: numbers that are none, one number everywhere, CT without a voxel below water or of hardly
            any range, or what looks like a CT where another modality is wanted.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataContractError("voxels that are no number", next="replace NaN and infinity by what air has")
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise DataContractError(f"every voxel is {low:g}", next="is this the image?")
    if modality == "ct":
        if low >= 0:
            raise DataContractError(
                f"values from {low:g} to {high:g}: not one below 0 HU",
                expected="CT in Hounsfield units",
                next="apply the rescale slope and intercept; or is this another modality?",
            )
        if high - low < _NARROW or high <= -HU_OFFSET:
            raise DataContractError(
                f"values from {low:g} to {high:g}: too narrow a range, or all below air",
                expected="CT in Hounsfield units",
                next="give the volume as it was before somebody normalised it",
            )
        stored: NDArray[np.uint16] = np.clip(np.rint(array.astype(np.float32)) + HU_OFFSET, 0, 65535).astype(np.uint16)
        return stored
    whole = array.dtype.kind in "iub" or np.array_equal(np.rint(array), array)
    if low <= _AIR and modality == "mr":
        raise DataContractError(
            f"values down to {low:g} look like the Hounsfield units of a CT",
            expected=f"a volume of modality {modality}",
            next="choose the task that fits, or another volume",
        )
    if low >= 0 and high <= 65535 and whole:
        return array.astype(np.uint16)
    scaled: NDArray[np.uint16] = np.rint((array.astype(np.float64) - low) * (65535 / (high - low))).astype(np.uint16)
    return scaled


def acquired(image: Any) -> str:
    """The plane across the thickest spacing of a SimpleITK image; axial when no spacing stands out."""
    spacing = np.array(image.GetSpacing())
    axis = int(np.argmax(spacing))
    if spacing[axis] < _THICKER * spacing.min():
        return "axial"
    towards = np.abs(np.reshape(image.GetDirection(), (3, 3))[:, axis])
    return ("sagittal", "coronal", "axial")[int(np.argmax(towards))]


def _differs(one: Any, other: Any) -> str:
    """What of two grids is not the same; empty when they are."""
    if one.GetSize() != other.GetSize():
        return f"size ({list(one.GetSize())} for {list(other.GetSize())})"
    step = min(other.GetSpacing())
    for name, tolerance in (("Spacing", _NOWHERE * step), ("Origin", 0.1 * step), ("Direction", _NOWHERE)):
        a, b = getattr(one, f"Get{name}")(), getattr(other, f"Get{name}")()
        if not np.allclose(a, b, rtol=0, atol=tolerance):
            return f"{name.lower()} ({np.round(a, 3).tolist()} for {np.round(b, 3).tolist()})"
    return ""


def _has_spacing(path: Path, image: Any) -> bool:
    """Whether the file says it; SimpleITK answers 1 mm for one that does not."""
    if image.HasMetaDataKey(dicom.CLASS):
        return any(map(image.HasMetaDataKey, dicom.SPACINGS))
    if image.HasMetaDataKey("pixdim[1]"):
        return True  # ITK has put 1 where there was 0: what is to be trusted is the file, see `core.intact`
    with path.open("rb") as stream:
        head = stream.read(4096).lower()
    return any(word in head for word in (b"spacing", b"elementsize", b"space directions"))


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][-200:] if lines else "no reason given"
