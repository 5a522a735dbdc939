"""Slices lie where the world coordinates of the volume say, and a volume that cannot be trusted gives none."""

import gzip
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import reader_kit
import SimpleITK as sitk
from reader_kit import ball, hu, image, save

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import Scan
from parfocal.core.types import Case
from parfocal.readers import FAMILY
from parfocal.readers.slices import note

MARK = 2500


def scan(root: Path, task: str = "bone", reader: str = "volume") -> Scan:
    found: Scan = FAMILY.load(reader)().scan(root, root.parent / "work", task=task, instrument="A")
    return found


def pixels(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


def pair(root: Path, made: sitk.Image, label: sitk.Image | None = None, suffix: str = ".nii.gz") -> Path:
    if label is None:
        label = sitk.GetImageFromArray(ball(made.GetSize()[::-1], range(made.GetSize()[2])))
        label.CopyInformation(made)
    save(root / f"v{suffix}", made)
    save(root / f"v_bone{suffix}", label)
    return root


def marked(turn: float = 0.0) -> tuple[sitk.Image, tuple[float, ...]]:
    """A volume with one bright voxel, and where in the world that is."""
    array = hu(0, (6, 24, 32))
    array[4, 5, 20] = MARK
    made = image(array, turn=turn)
    return made, made.TransformIndexToPhysicalPoint((20, 5, 4))


def places(cases: list[Case]) -> list[np.ndarray]:
    """Where in the world the marked pixels of the cases are, by their notes."""
    found = []
    for case in cases:
        about = note(case.image)
        for row, column in np.argwhere(pixels(case.image) == MARK + 1024):
            step = row * np.array(about["rows"]) + column * np.array(about["columns"])
            found.append(np.array(about["origin"]) + step)
    return found


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("reader", ["volume", "volume_sagittal", "volume_coronal"])
@pytest.mark.parametrize(("turn", "flip"), [(0, ()), (0, (0, 2)), (17, ()), (-30, (1,)), (90, ())])
def test_a_marked_voxel_lands_where_its_world_coordinates_say(
    tmp_path: Path, suffix: str, reader: str, turn: float, flip: tuple[int, ...]
) -> None:
    made, place = marked(turn)
    for axis in flip:
        made = sitk.Flip(made, [axis == number for number in range(3)])
    found = scan(pair(tmp_path / "source", made, suffix=suffix), reader=reader)
    assert not found.problems
    (there,) = places([*found.cases, *found.unlabelled])
    np.testing.assert_allclose(there, place, atol=1e-3)


def test_axial_slices_are_seen_from_the_feet_whatever_the_order_of_the_voxels(tmp_path: Path) -> None:
    made, _ = marked()
    straight = scan(pair(tmp_path / "a", made))
    flipped = scan(pair(tmp_path / "b", sitk.Flip(made, [True, True, True])))
    assert [case.id for case in straight.cases] == [case.id for case in flipped.cases]
    for one, other in zip(straight.cases, flipped.cases, strict=True):
        assert np.array_equal(pixels(one.image), pixels(other.image))
    about = note(straight.cases[0].image)
    assert about["rows"][1] > 0  # to the back
    assert about["columns"][0] > 0  # to the patient's left


def test_spacing_is_that_of_rows_and_columns_and_ct_is_stored_with_1024_added(tmp_path: Path) -> None:
    array = hu(0)
    found = scan(pair(tmp_path / "source", image(array)))
    assert found.cases[0].spacing == pytest.approx((0.8, 0.7))
    assert np.array_equal(pixels(found.cases[2].image), array[2].astype(int) + 1024)
    sagittal = scan(pair(tmp_path / "other", image(array)), reader="volume_sagittal")
    assert sagittal.cases[0].spacing == pytest.approx((3.0, 0.8))


def test_a_slice_that_the_structure_does_not_reach_has_an_empty_mask(tmp_path: Path) -> None:
    found = scan(reader_kit.volumes(tmp_path / "source"))
    shown = {note(case.image)["slice"]: bool(pixels(case.masks["bone"]).any()) for case in found.cases}
    assert shown == {0: False, 1: True, 2: True, 3: True, 4: False}
    assert not found.unlabelled


def test_the_table_joins_volumes_of_a_patient_and_declares_sides(tmp_path: Path) -> None:
    root = reader_kit.volumes(tmp_path / "source")
    (root / "cases.csv").write_text("name,patient,split,grader\nct1a,P1,train,Dr A\nct1b,P1,train,\nct2,P2,test,\n")
    found = scan(root)
    assert {case.patient for case in found.cases} == {"P1", "P2"}
    assert {case.grader for case in found.cases if "ct1a" in case.id} == {"Dr A"}
    assert set((found.declared_splits or {}).values()) == {"train", "test"}


def test_two_empty_slices_of_one_volume_are_two_pictures(tmp_path: Path) -> None:
    array = hu(0)
    array[0] = array[4] = -1000
    found = scan(pair(tmp_path / "source", image(array), image(ball((5, 24, 32), (2,)))))
    assert len({case.checksum for case in [*found.cases, *found.unlabelled]}) == 5


def test_mr_keeps_its_own_numbers(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 1800, (4, 24, 32)).astype(np.int16)
    save(tmp_path / "source" / "v.nii.gz", image(array))
    save(tmp_path / "source" / "v_prostate.nii.gz", image(ball((4, 24, 32), range(4))))
    found = scan(tmp_path / "source", task="prostate")
    assert np.array_equal(pixels(found.cases[1].image), array[1])


def cut(file: Path, part: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])


def with_bytes(file: Path, place: int, data: bytes) -> None:
    """Change bytes of a gzipped file."""
    found = bytearray(gzip.decompress(file.read_bytes()))
    found[place : place + len(data)] = data
    file.write_bytes(gzip.compress(bytes(found)))


V, LABEL = "v.nii.gz", "v_bone.nii.gz"


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        (V, lambda f: cut(f, 0.5), "cut short"),
        (V, lambda f: cut(f, 0.99), "cut short"),
        (V, lambda f: f.write_bytes(gzip.compress(gzip.decompress(f.read_bytes())[:-60])), "cut short"),
        (V, lambda f: f.write_bytes(b""), "cut short"),
        (V, lambda f: f.write_bytes(b"not a volume" * 99), "cut short"),
        (V, lambda f: with_bytes(f, 252, bytes(4)), "how the volume lies"),
        (V, lambda f: with_bytes(f, 80, bytes(12)), "how large a voxel"),
        (LABEL, lambda f: cut(f, 0.8), "cut short"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 33), (2,)))), r"another size.*33"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 32), (2,)), spacing=(0.7, 0.8, 2.9))), "another spacing"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 32), (2,)), origin=(-11, 7, 43))), "another origin"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 32), (2,)), turn=3)), "another direction"),
        (LABEL, lambda f: save(f, image(np.zeros((5, 24, 32), np.uint8))), "empty"),
        (LABEL, lambda f: save(f, image(1 - ball((5, 24, 32), (2,)))), "inverted"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 32), (1,)) + 2 * ball((5, 24, 32), (2,)))), "labels 0, 1, 2"),
        (LABEL, lambda f: save(f, image(ball((5, 24, 32), (1,)) * np.float32(0.5))), "whole numbers"),
        (V, lambda f: save(f, image(hu(0).clip(0))), "not one below 0 HU"),
        (V, lambda f: save(f, image(np.where(hu(0) > 0, np.nan, -1).astype(np.float32))), "no number"),
        (V, lambda f: save(f, image(np.full((5, 24, 32), -5, np.int16))), "every voxel is -5"),
        (LABEL, lambda f: f.unlink(), "no label volume"),
        (V, lambda f: f.unlink(), "without an image"),
        (V, lambda f: f.with_name("v.nrrd").write_bytes(b"-"), "have one name"),
    ],
)
def test_what_cannot_be_trusted_is_a_problem_of_its_file_and_no_case(
    tmp_path: Path, name: str, damage: Callable[[Path], object], reason: str
) -> None:
    root = pair(tmp_path / "source", image(hu(0)), image(ball((5, 24, 32), (1, 2, 3))))
    damage(root / name)
    found = scan(root)
    assert not found.cases
    assert found.problems
    assert re.search(reason, "\n".join(p.reason for p in found.problems)), found.problems


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_volume_of_any_format_that_is_cut_short_gives_no_slice(tmp_path: Path, suffix: str, part: float) -> None:
    root = pair(tmp_path / "source", image(hu(0)), suffix=suffix)
    cut(root / f"v{suffix}", part)
    found = scan(root)
    assert not found.cases
    assert "cut short" in found.problems[0].reason


def test_a_compressed_mha_with_one_wrong_byte_gives_no_slice(tmp_path: Path) -> None:
    root = pair(tmp_path / "source", image(hu(0)), suffix=".mha")
    data = bytearray((root / "v.mha").read_bytes())
    data[len(data) // 2] ^= 255
    (root / "v.mha").write_bytes(data)
    assert not scan(root).cases


@pytest.mark.parametrize(("suffix", "words"), [(".nrrd", b"space: left"), (".mha", b"TransformMatrix")])
def test_a_header_that_does_not_say_how_the_volume_lies_is_refused(tmp_path: Path, suffix: str, words: bytes) -> None:
    root = pair(tmp_path / "source", image(hu(0)), suffix=suffix)
    file = root / f"v{suffix}"
    start = file.read_bytes().index(words)
    end = file.read_bytes().index(b"\n", start) + 1
    file.write_bytes(file.read_bytes()[:start] + file.read_bytes()[end:])
    found = scan(root)
    assert not found.cases
    assert "how the volume lies" in found.problems[0].reason


def test_a_big_endian_and_a_nifti_2_header_are_read_as_such(tmp_path: Path) -> None:
    from parfocal.core import intact

    dims, steps = (3, 4, 4, 4, 1, 1, 1, 1), (1.0,) * 8
    one = bytearray(352)
    one[0:4], one[40:56], one[72:74] = struct.pack(">i", 348), struct.pack(">8h", *dims), struct.pack(">h", 16)
    one[76:108], one[108:112], one[252:256] = (
        struct.pack(">8f", *steps),
        struct.pack(">f", 352),
        struct.pack(">2h", 1, 0),
    )
    two = bytearray(544)
    two[0:4], two[14:16], two[16:80] = struct.pack("<i", 540), struct.pack("<h", 16), struct.pack("<8q", *dims)
    two[104:168], two[168:176], two[344:352] = (
        struct.pack("<8d", *steps), struct.pack("<q", 544), struct.pack("<2i", 1, 0)
    )  # fmt: skip
    for header in (one, two):
        (tmp_path / "v.nii").write_bytes(header + bytes(2 * 64 + 200))
        intact.check(tmp_path / "v.nii")
        (tmp_path / "v.nii").write_bytes(header + bytes(2 * 64 - 1))
        with pytest.raises(DataContractError, match="cut short"):
            intact.check(tmp_path / "v.nii")


def test_a_ct_where_the_task_is_mr_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "source"
    save(root / "v.nii.gz", image(hu(0)))
    save(root / "v_prostate.nii.gz", image(ball((5, 24, 32), (1, 2))))
    found = scan(root, task="prostate")
    assert not found.cases
    assert "Hounsfield" in found.problems[0].reason


def test_four_dimensions_and_colours_are_refused(tmp_path: Path) -> None:
    series = sitk.JoinSeries([image(hu(0)), image(hu(1))])
    colours = sitk.GetImageFromArray(np.zeros((5, 24, 32, 3), np.uint8), isVector=True)
    for number, made in enumerate((series, colours)):
        root = pair(tmp_path / f"{number}", image(hu(0)))
        save(root / "v.nii.gz", made)
        found = scan(root)
        assert not found.cases
        assert "dimensions" in found.problems[0].reason or "colour" in found.problems[0].reason


def test_a_folder_that_almost_names_a_structure_is_a_problem(tmp_path: Path) -> None:
    root = reader_kit.volumes(tmp_path / "source")
    (root / "bone").rename(root / "Bones")
    assert any("not the name of a structure" in p.reason for p in scan(root).problems)


def test_without_simpleitk_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = reader_kit.volumes(tmp_path / "source")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for reader in ("volume", "dicom"):
        with pytest.raises(UsageError, match=r"parfocal\[volume\]"):
            scan(root, reader=reader)
