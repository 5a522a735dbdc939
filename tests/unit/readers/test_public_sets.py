"""Fundus sets as they unpack: which expert, which half, which number means what; and what is refused instead."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import reader_kit
from data_kit import circle, picture, write

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import Scan
from parfocal.core.types import Split
from parfocal.readers import FAMILY
from parfocal.readers.labelmap import split_map
from parfocal.readers.naming import official_side


def scan(reader: str, root: Path, task: str = "fundus") -> Scan:
    found: Scan = FAMILY.load(reader)().scan(root, root.parent / "work", task=task, instrument="A")
    return found


def reasons(found: Scan) -> str:
    return "\n".join(f"{p.file.name}: {p.reason}" for p in found.problems)


def pixels(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def drishti(tmp_path: Path) -> Path:
    return reader_kit.drishti(tmp_path / "source")


@pytest.fixture
def r3(tmp_path: Path) -> Path:
    return reader_kit.rimone_r3(tmp_path / "source")


def test_drishti_a_pixel_belongs_to_the_disc_where_two_of_four_experts_say_so(drishti: Path) -> None:
    (case,) = [case for case in scan("drishti", drishti).cases if case.patient == "drishtiGS_002"]
    two_agree = reader_kit.soft(12) >= 128
    assert np.array_equal(pixels(case.masks["disc"]) == 255, two_agree)
    assert "2 of 4" in case.grader


def test_drishti_the_centre_is_row_then_column_and_becomes_x_and_y(drishti: Path) -> None:
    assert {case.points["disc"] for case in scan("drishti", drishti).cases} == {(42.0, 30.0)}
    file = next(drishti.rglob("drishtiGS_002_diskCenter.txt"))
    file.write_text("42 30")
    assert "row 42 column 30, is outside the disc" in reasons(scan("drishti", drishti))


def test_drishti_test_images_stay_test_and_only_training_patients_are_held_back(drishti: Path) -> None:
    declared = scan("drishti", drishti).declared_splits or {}
    assert {name for name, side in declared.items() if side == Split.TEST} == {"A-drishtiGS_001", "A-drishtiGS_003"}
    sides = [official_side(Split.TRAIN, f"p{i}") for i in range(500)]
    assert 60 < sides.count(Split.VALIDATION) < 140
    assert sides.count(Split.TEST) == 0
    assert official_side(Split.TEST, "p1") is Split.TEST


def test_drishti_without_a_truth_for_the_test_side_its_images_are_unlabelled(drishti: Path) -> None:
    shutil.rmtree(drishti / "Drishti-GS1_files" / "Test" / "Test_GT")
    found = scan("drishti", drishti)
    assert len(found.cases) == 3
    assert len(found.unlabelled) == 2
    assert not found.problems


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: f.unlink(), "a soft map is missing"),
        (lambda f: f.write_bytes(f.read_bytes()[:100]), "cut short"),
        (lambda f: write(f, circle(12, 50, 80)), "80 x 50, but drishtiGS_002.png is 80 x 60"),
        (lambda f: write(f, circle(12) // 255), "values 0 and 1"),
        (lambda f: write(f, circle(12).astype(np.uint16) * 257), "uint16"),
        (lambda f: shutil.rmtree(f.parents[1]), "no ground truth"),
    ],
)
def test_drishti_a_damaged_soft_map_loses_its_case_alone(
    drishti: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(next(drishti.rglob("drishtiGS_002_ODsegSoftmap.png")))
    found = scan("drishti", drishti)
    assert reason in reasons(found)
    assert len(found.cases) == 4


def test_drishti_two_releases_in_one_folder_are_refused(drishti: Path) -> None:
    shutil.copytree(drishti / "Drishti-GS1_files", drishti / "copy")
    with pytest.raises(DataContractError, match="2 times"):
        scan("drishti", drishti)


def test_r3_the_left_view_is_cut_out_with_the_mask_of_the_reader_that_was_named(r3: Path) -> None:
    sizes = {}
    for reader in ("rimone_r3", "rimone_r3_expert1", "rimone_r3_expert2"):
        (case,) = [case for case in scan(reader, r3).cases if case.id == "A-N-1-L"]
        sizes[case.grader] = np.count_nonzero(pixels(case.masks["disc"]))
        stereo = cv2.imread(str(r3 / "RIM-ONE r3/Healthy/Stereo Images/N-1-L.jpg"))
        assert np.array_equal(pixels(case.image), stereo[:, :80])
    assert sizes["expert 1 of 2"] > sizes["average of 2 experts"] > sizes["expert 2 of 2"]


def test_r3_both_eyes_of_a_number_are_one_patient(r3: Path) -> None:
    patients = {case.id: case.patient for case in scan("rimone_r3", r3).cases}
    assert patients["A-G-3-L"] == patients["A-G-3-R"] != patients["A-N-2-R"]


def test_r3_a_mask_may_be_as_large_as_the_view_alone_and_called_t(r3: Path) -> None:
    folder = r3 / "RIM-ONE r3/Healthy/Average_masks"
    (folder / "N-1-L-Disc-Avg.png").unlink()
    write(folder / "N-1-L-1-Disc-T.png", circle(9))
    (case,) = [case for case in scan("rimone_r3", r3).cases if case.id == "A-N-1-L"]
    assert np.array_equal(pixels(case.masks["disc"]), circle(9))


def test_r3_what_does_not_fit_is_named(r3: Path) -> None:
    folder = r3 / "RIM-ONE r3/Healthy"
    masks = folder / "Average_masks"
    write(masks / "N-1-L-1-Disc-Avg.png", circle(9))
    write(masks / "N-2-R-Disc-Avg.png", np.hstack([np.zeros((60, 80), np.uint8), circle(9)]))
    write(masks / "N-7-L-Disc-Avg.png", circle(9))
    write(folder / "Stereo Images" / "N-9-L.jpg", picture(3))
    write(folder / "Stereo Images" / "cover.jpg", picture(3))
    found = reasons(scan("rimone_r3", r3))
    for expected in (
        "N-1-L.jpg: 2 masks of the disc fit", "N-2-R-Disc-Avg.png: it reaches into the right view",
        "N-7-L-Disc-Avg.png: a mask without an image", "N-9-L.jpg: 80 x 60 is no pair", "cover.jpg: not a stereo pair",
    ):  # fmt: skip
        assert expected in found


def test_dl_the_partition_is_the_one_that_the_reader_names(tmp_path: Path) -> None:
    root = reader_kit.rimone_dl(tmp_path / "source")
    tests = {
        reader: {name for name, side in (scan(reader, root).declared_splits or {}).items() if side == Split.TEST}
        for reader in ("rimone_dl", "rimone_dl_hospital")
    }
    assert tests == {"rimone_dl": {"A-r1_Im069"}, "rimone_dl_hospital": {"A-r2_Im347"}}
    patients = {case.id: case.patient for case in scan("rimone_dl", root).cases}
    assert patients["A-r3_G-8-R"] == patients["A-r3_G-8-L"] == "r3_G-8"


def test_dl_a_missing_or_second_or_larger_mask_is_a_problem(tmp_path: Path) -> None:
    root = reader_kit.rimone_dl(tmp_path / "source")
    masks = root / "RIM-ONE_DL_reference_segmentations"
    (masks / "glaucoma" / "r1_Im069-1-Cup-T.png").unlink()
    write(masks / "normal" / "r2_Im347-2-Disc-T.png", circle(9))
    write(masks / "normal" / "r3_N-12-L-1-Disc-T.png", circle(9, 61, 80))
    found = scan("rimone_dl", root)
    assert "no mask of the cup" in reasons(found)
    assert "2 masks of the disc fit" in reasons(found)
    assert "80 x 61, but r3_N-12-L.png is 80 x 60" in reasons(found)
    assert len(found.cases) == 2


def test_refuge_and_origa_maps_give_the_same_disc_and_cup(tmp_path: Path) -> None:
    for make in (reader_kit.refuge, reader_kit.origa):
        case = scan("labelmap", make(tmp_path / make.__name__)).cases[0]
        assert np.array_equal(pixels(case.masks["disc"]), circle(12))
        assert np.array_equal(pixels(case.masks["cup"]), circle(6))


def test_refuge_declares_sides_and_images_of_a_side_without_maps_are_unlabelled(tmp_path: Path) -> None:
    found = scan("labelmap", reader_kit.refuge(tmp_path / "source"))
    assert found.declared_splits == {"A-g0001": "train", "A-n0001": "train", "A-V0001": "validation"}
    assert [case.id for case in found.unlabelled] == ["A-T0001"]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (reader_kit.label_map(0, 128, 255), "looks inverted"),
        (reader_kit.label_map(2, 1, 0), "looks inverted"),
        (reader_kit.label_map(255, 255, 0), "values 0, 255"),
        (np.zeros((60, 80), np.uint8), "values 0"),
        (reader_kit.label_map(0, 1, 3), "values 0, 1, 3"),
        (reader_kit.label_map(255, 129, 0), "values 0, 129, 255"),
    ],
)
def test_a_map_of_other_numbers_is_refused(stored: np.ndarray, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=reason):
        split_map(stored, tmp_path / "map.png")


def test_a_map_with_a_palette_keeps_its_numbers_whatever_its_colours(tmp_path: Path) -> None:
    root = reader_kit.origa(tmp_path / "source")
    stored = reader_kit.label_map(0, 1, 2)
    colours = bytes([10, 20, 30, 255, 0, 0, 0, 200, 0])
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 80, 60, 8, 3, 0, 0, 0)), (b"PLTE", colours),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in stored))), (b"IEND", b""),
    )  # fmt: skip
    data = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    (root / "Masks" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    case = scan("labelmap", root).cases[0]
    assert np.array_equal(pixels(case.masks["cup"]), circle(6))


def test_a_map_in_colours_without_a_palette_or_of_another_size_or_cut_short_is_a_problem(tmp_path: Path) -> None:
    root = reader_kit.origa(tmp_path / "source")
    write(root / "Masks" / "001.png", picture(1))
    write(root / "Masks" / "002.png", reader_kit.label_map(0, 1, 2)[:50])
    write(root / "Images" / "003.jpg", picture(3))
    file = write(root / "Masks" / "003.png", reader_kit.label_map(0, 1, 2))
    file.write_bytes(file.read_bytes()[:60])
    found = scan("labelmap", root)
    assert not found.cases
    for expected in ("001.png: a coloured mask", "002.png: 80 x 50, but 002.jpg is 80 x 60", "003.png: unreadable"):
        assert expected in reasons(found)


def test_an_image_that_its_exif_tag_turns_must_have_a_mask_that_is_turned_too(tmp_path: Path) -> None:
    root = reader_kit.origa(tmp_path / "source")
    file = root / "Images" / "001.jpg"
    tag = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: a quarter turn
    data = file.read_bytes()
    file.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag + data[2:])
    assert "001.png: 80 x 60, but 001.jpg is 60 x 80" in reasons(scan("labelmap", root))


def test_a_task_without_a_disc_or_cup_is_a_mistake_that_says_what_the_set_has(drishti: Path) -> None:
    with pytest.raises(UsageError, match="disc or cup"):
        scan("drishti", drishti, task="bone")
