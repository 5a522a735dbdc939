"""Trees as the public sets unpack, with tiny pictures and volumes, and DICOM files written byte by byte."""

import json
import locale
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk
from data_kit import circle, picture, source, write

SIZE = (60, 80)
Array = np.ndarray


@dataclass(frozen=True)
class Tree:
    """A fixture: how to make it, the task, how many cases of how many patients it has, and where junk may lie."""

    make: Callable[[Path], Path]
    task: str
    cases: int
    patients: int
    junk: str
    unlabelled: int = 0


def soft(radius: int) -> Array:
    """A soft map of four experts, who agree in the middle: 0, 64, 128, 191, 255."""
    total = np.zeros(SIZE, np.float32)
    for change in (-2, -1, 1, 2):
        total += circle(radius + change) / 255 / 4
    return np.floor(total * 255.99).astype(np.uint8)


def label_map(background: int, rim: int, cup: int) -> Array:
    return np.where(circle(6) > 0, cup, np.where(circle(12) > 0, rim, background)).astype(np.uint8)


def drishti(root: Path) -> Path:
    base = root / "Drishti-GS1_files"
    for side, truth, numbers in (("Training", "GT", (2, 4, 8)), ("Test", "Test_GT", (1, 3))):
        for number in numbers:
            name = f"drishtiGS_{number:03}"
            write(base / side / "Images" / f"{name}.png", picture(number))
            folder = base / side / truth / name
            write(folder / "SoftMap" / f"{name}_ODsegSoftmap.png", soft(12))
            write(folder / "SoftMap" / f"{name}_cupsegSoftmap.png", soft(6))
            (folder / "AvgBoundary").mkdir()
            (folder / "AvgBoundary" / f"{name}_diskCenter.txt").write_text("30 42")
            (folder / "AvgBoundary" / f"{name}_ODAvgBoundary.txt").write_text("1 2\n")
            (folder / f"{name}_cdrValues.txt").write_text("0.5")
    (base / "Readme.txt").write_text("-")
    return root


def rimone_r3(root: Path) -> Path:
    base = root / "RIM-ONE r3"
    for number, (group, name) in enumerate(
        (
            ("Healthy", "N-1-L"),
            ("Healthy", "N-2-R"),
            ("Glaucoma and suspects", "G-3-L"),
            ("Glaucoma and suspects", "G-3-R"),
        )
    ):
        pair = np.hstack([picture(number), picture(100 + number)])
        write(base / group / "Stereo Images" / f"{name}.jpg", pair)
        for part, radius in (("Disc", 12), ("Cup", 6)):
            for folder, ending, change in (
                ("Average_masks", f"{part}-Avg", 0), ("Expert1_masks", f"1-{part}-exp1", 1),
                ("Expert2_masks", f"1-{part}-exp2", -1),
            ):  # fmt: skip
                full = np.hstack([circle(radius + change), np.zeros(SIZE, np.uint8)])
                write(base / group / folder / f"{name}-{ending}.png", full)
                (base / group / folder / f"{name}-{ending}.txt").write_text("1 2\n")
    (base / "Scripts").mkdir()
    (base / "Scripts" / "evaluate.m").write_text("%")
    return root


def rimone_dl(root: Path) -> Path:
    names = {"glaucoma": ("r1_Im069", "r3_G-8-R", "r3_G-8-L"), "normal": ("r2_Im347", "r3_N-12-L")}
    for number, (group, name) in enumerate((group, name) for group, found in names.items() for name in found):
        for partition, test in (("partitioned_randomly", "r1_Im069"), ("partitioned_by_hospital", "r2_Im347")):
            folder = "test_set" if name == test else "training_set"
            write(root / "RIM-ONE_DL_images" / partition / folder / group / f"{name}.png", picture(number))
        for part, radius in (("Disc", 12), ("Cup", 6)):
            masks = root / "RIM-ONE_DL_reference_segmentations" / group
            write(masks / f"{name}-1-{part}-T.png", circle(radius))
            (masks / f"{name}-1-{part}-T.txt").write_text("1 2\n")
    return root


def refuge(root: Path) -> Path:
    places = (
        ("Training400/Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Glaucoma", "g0001"),
        ("Training400/Non-Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma", "n0001"),
        ("REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks", "V0001"),
        ("Test400", "", "T0001"),
    )
    for number, (images, maps, name) in enumerate(places):
        write(root / images / f"{name}.jpg", picture(number))
        if maps:
            write(root / maps / f"{name}.bmp", label_map(255, 128, 0))
    (root / "Annotation-Training400" / "Fovea_location.xlsx").write_bytes(b"-")
    return root


def origa(root: Path) -> Path:
    for number in (1, 2):
        write(root / "Images" / f"{number:03}.jpg", picture(number))
        write(root / "Masks" / f"{number:03}.png", label_map(0, 1, 2))
        write(root / "Images_Cropped" / f"{number:03}.jpg", picture(number))
        write(root / "Masks_Cropped" / f"{number:03}.png", label_map(0, 1, 2))
    return root


def ball(shape: tuple[int, int, int], slices: Iterable[int]) -> Array:
    """A label volume with a disc in some slices, [Z, H, W], off the middle so that no flip leaves it in place."""
    mask = np.zeros(shape, np.uint8)
    for number in slices:
        mask[number] = cv2.circle(np.zeros(shape[1:], np.uint8), (shape[2] // 3, shape[1] // 4), 3, 1, -1)
    return mask


def hu(seed: int, shape: tuple[int, int, int] = (5, 24, 32)) -> Array:
    """Air and tissue, int16 Hounsfield units."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape, np.int16)


def image(
    array: Array, spacing: tuple[float, float, float] = (0.7, 0.8, 3.0), turn: float = 0.0,
    origin: tuple[float, float, float] = (-11.0, 7.0, 40.0),
) -> sitk.Image:  # fmt: skip
    """A SimpleITK image of [Z, H, W]; `turn` degrees about the patient's long axis."""
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    made.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    return made


def save(file: Path, made: sitk.Image) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(made, str(file), useCompression=True)
    return file


def volumes(root: Path) -> Path:
    for number, name in enumerate(("ct1a", "ct1b", "ct2")):
        save(root / "images" / f"{name}.nii.gz", image(hu(number)))
        save(root / "bone" / f"{name}.nii.gz", image(ball((5, 24, 32), (1, 2, 3))))
    (root / "cases.csv").write_text("name,patient\nct1a,P1\nct1b,P1\nct2,P2\n")
    return root


_VR = {"0008|0005": "CS", "0008|0016": "UI", "0008|0018": "UI", "0008|0060": "CS", "0010|0020": "LO",
       "0018|1164": "DS", "0020|000d": "UI", "0020|000e": "UI", "0020|0013": "IS", "0020|0032": "DS",
       "0020|0060": "CS", "0020|0062": "CS",
       "0020|0037": "DS", "0028|0002": "US", "0028|0004": "CS", "0028|0006": "US", "0028|0008": "IS",
       "0028|0010": "US", "0028|0011": "US", "0028|0030": "DS", "0028|0100": "US", "0028|0101": "US",
       "0028|0102": "US", "0028|0103": "US", "0028|1052": "DS", "0028|1053": "DS"}  # fmt: skip
PLAIN, RLE, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
_CLASS = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def dicom(file: Path, pixels: Array, syntax: str = PLAIN, **changes: str | int | None) -> Path:
    """A DICOM file, PS3.5 and PS3.10. A change such as `x0028_0030=None` removes a tag; `uid=` names the instance."""
    uid = str(changes.pop("uid", f"1.2.3.9.{zlib.crc32(file.name.encode())}"))
    colour = pixels.ndim == 3
    bits = 8 * pixels.itemsize
    modality = str(changes.get("x0008_0060", "CT"))
    tags: dict[str, str | int | None] = {
        "0008|0016": _CLASS.get(modality, _CAPTURE), "0008|0018": uid, "0008|0060": modality, "0010|0020": "P1",
        "0020|000d": "1.2.3", "0020|000e": "1.2.3.4", "0028|0002": 3 if colour else 1,
        "0028|0004": "RGB" if colour else "MONOCHROME2", "0028|0010": pixels.shape[0], "0028|0011": pixels.shape[1],
        "0028|0100": bits, "0028|0101": bits, "0028|0102": bits - 1, "0028|0103": int(pixels.dtype.kind == "i"),
        **({"0028|0006": 0} if colour else {}),
    }  # fmt: skip
    tags |= {key[1:].replace("_", "|"): value for key, value in changes.items()}
    body = b"".join(_element(tag, value) for tag, value in sorted(tags.items()) if value is not None)
    file.parent.mkdir(parents=True, exist_ok=True)
    meta = _element("0002|0001", b"\0\1", "OB") + _element("0002|0002", str(tags["0008|0016"]), "UI")
    meta += _element("0002|0003", uid, "UI") + _element("0002|0010", syntax, "UI")
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta
    file.write_bytes(head + body + _pixel_data(pixels, syntax))
    return file


def _element(tag: str, value: str | int | bytes, vr: str = "") -> bytes:
    group, element = (int(part, 16) for part in tag.split("|"))
    kind = vr or _VR[tag]
    data = struct.pack("<H", value) if isinstance(value, int) else value if isinstance(value, bytes) else value.encode()
    data += (b"\0" if kind == "UI" else b" ") * (len(data) % 2)
    if kind == "OB":
        return struct.pack("<HH2sHI", group, element, kind.encode(), 0, len(data)) + data
    return struct.pack("<HH2sH", group, element, kind.encode(), len(data)) + data


def _pixel_data(pixels: Array, syntax: str) -> bytes:
    if syntax == PLAIN:
        data = pixels.tobytes()
        data += b"\0" * (len(data) % 2)
        return struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW" if pixels.itemsize == 2 else b"OB", 0, len(data)) + data
    if syntax == JPEG:
        data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    else:
        planes = pixels.reshape(-1).view(np.uint8).reshape(-1, pixels.itemsize).T[::-1]
        runs = [_packbits(plane.tobytes()) for plane in planes]
        starts = np.cumsum([64, *map(len, runs)])[:-1].tolist() + [0] * (15 - len(runs))
        data = struct.pack("<16I", len(runs), *starts) + b"".join(runs)
    data += b"\0" * (len(data) % 2)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    undefined = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    return undefined + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _packbits(data: bytes) -> bytes:
    """RLE with literal runs alone."""
    coded = b"".join(bytes([len(part) - 1]) + part for part in (data[i : i + 128] for i in range(0, len(data), 128)))
    return coded + b"\0" * (len(coded) % 2)


def series(
    folder: Path, array: Array, *, step: tuple[float, float, float] = (0, 0, 3.0), syntax: str = PLAIN,
    names: Callable[[int], str] = lambda number: f"IM{number:04}", **changes: str | int | None,
) -> Path:  # fmt: skip
    """One DICOM file a slice of [Z, H, W], `step` millimetres from one to the next, at (-11, 7, 40)."""
    for number, pixels in enumerate(array):
        place = "\\".join(f"{start + number * move:g}" for start, move in zip((-11, 7, 40), step, strict=True))
        tags: dict[str, str | int | None] = {
            "x0020_0013": str(number + 1), "x0020_0032": place, "x0020_0037": "1\\0\\0\\0\\1\\0",
            "x0028_0030": "0.8\\0.7", "x0028_1052": "0", "x0028_1053": "1",
        }  # fmt: skip
        uid = f"{changes.get('x0020_000e', '1.2.3.4')}.{number + 1}"
        dicom(folder / names(number), pixels, syntax, uid=uid, **{**tags, **changes})
    return folder


def dicoms(root: Path) -> Path:
    for number, patient in enumerate(("P1", "P2")):
        uids = {"x0010_0020": patient, "x0020_000e": f"1.2.3.{number + 1}"}
        # Names in the reverse order of place, as archives give them.
        series(root / patient / "ct", hu(number), names=lambda n: f"IM{9 - n:04}", **uids)
        save(root / patient / "ct_bone.nii.gz", image(ball((5, 24, 32), (1, 2, 3))))
    (root / "LICENSE").write_text("-")
    return root


def phantom(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "phantom.json").write_text(json.dumps({"instrument": "B", "patients": [0, 2]}))
    return root


def plain(root: Path) -> Path:
    return source(root, ["x", "y"])


def change(file: Path, pixels: Mapping[str, Array] | Array) -> None:
    """Overwrite a picture that is there."""
    assert file.is_file()
    write(file, pixels)


_CT = Tree(volumes, "bone", 15, 2, "images/notes.docx")
_DICOM = Tree(dicoms, "bone", 10, 2, "P1/ct/notes.docx")
_R3 = Tree(rimone_r3, "fundus", 4, 3, "RIM-ONE r3/Healthy/Stereo Images/notes.docx")
_DL = "RIM-ONE_DL_images/{}/training_set/normal/notes.docx"
TREES = {
    "dicom": _DICOM,
    "dicom_axial": _DICOM,
    "dicom_coronal": Tree(dicoms, "bone", 48, 2, "P1/ct/notes.docx"),
    "dicom_sagittal": Tree(dicoms, "bone", 64, 2, "P1/ct/notes.docx"),
    "drishti": Tree(drishti, "fundus", 5, 5, "Drishti-GS1_files/Test/Images/notes.docx"),
    "folder": Tree(plain, "fundus", 2, 2, "images/notes.docx"),
    "labelmap": Tree(refuge, "fundus", 3, 3, "Training400/notes.docx", unlabelled=1),
    "phantom": Tree(phantom, "fundus", 2, 2, ""),
    "rimone_dl": Tree(rimone_dl, "fundus", 5, 4, _DL.format("partitioned_randomly")),
    "rimone_dl_hospital": Tree(rimone_dl, "fundus", 5, 4, _DL.format("partitioned_by_hospital")),
    "rimone_r3": _R3,
    "rimone_r3_expert1": _R3,
    "rimone_r3_expert2": _R3,
    "volume": _CT,
    "volume_axial": _CT,
    "volume_coronal": Tree(volumes, "bone", 72, 2, "images/notes.docx"),
    "volume_sagittal": Tree(volumes, "bone", 96, 2, "images/notes.docx"),
}


@contextmanager
def own_locale() -> Iterator[None]:
    """Give the process its locale back: GDCM leaves it in C after writing, and text files were ASCII then."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
