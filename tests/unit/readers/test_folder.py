"""The plain layout reads as people fill it, and what does not fit is named, never skipped in silence."""

from pathlib import Path

import cv2
import pytest
from data_kit import circle, picture, source, write

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import Scan
from parfocal.readers import FAMILY
from parfocal.readers.folder import FolderReader
from parfocal.readers.naming import case_id


def scan(folder: Path, instrument: str = "A") -> Scan:
    return FolderReader().scan(folder, folder / "unused", task="fundus", instrument=instrument)


def problems(folder: Path) -> dict[str, str]:
    return {str(p.file.relative_to(folder)): p.reason for p in scan(folder).problems}


def test_the_family_knows_it_by_name() -> None:
    assert FAMILY.load("folder") is FolderReader


def test_every_image_with_a_mask_is_a_case_and_its_own_patient(tmp_path: Path) -> None:
    found = scan(source(tmp_path, ["x", "y"]))
    assert [(c.id, c.patient, c.instrument, sorted(c.masks)) for c in found.cases] == [
        ("A-x", "x", "A", ["cup", "disc"]),
        ("A-y", "y", "A", ["cup", "disc"]),
    ]
    assert not found.problems
    assert found.declared_splits is None


def test_a_structure_may_be_missing_for_a_case_or_for_all(tmp_path: Path) -> None:
    source(tmp_path, ["x", "y"])
    (tmp_path / "cup" / "x.png").unlink()
    assert [sorted(c.masks) for c in scan(tmp_path).cases] == [["disc"], ["cup", "disc"]]
    (tmp_path / "cup" / "y.png").unlink()
    (tmp_path / "cup").rmdir()
    assert [sorted(c.masks) for c in scan(tmp_path).cases] == [["disc"], ["disc"]]


def test_suffixes_in_capitals_and_litter_and_terms_are_no_trouble(tmp_path: Path) -> None:
    source(tmp_path, ["x"])
    write(tmp_path / "images" / "y.jpg", picture(5)).rename(tmp_path / "images" / "y.JPG")
    write(tmp_path / "disc" / "y.png", circle(9))
    for litter in ("TERMS.txt", "images/.DS_Store", "images/Thumbs.db"):
        (tmp_path / litter).write_text("-")
    found = scan(tmp_path)
    assert [c.image.name for c in found.cases] == ["x.png", "y.JPG"]
    assert not found.problems


def test_files_that_fit_no_case_are_named_with_the_reason(tmp_path: Path) -> None:
    source(tmp_path, ["x", "bare"], cups=False)
    (tmp_path / "disc" / "bare.png").unlink()
    write(tmp_path / "disc" / "orphan.png", circle(9))
    write(tmp_path / "disc" / "x.bmp", circle(9))
    write(tmp_path / "images" / "twin.png", picture(7))
    write(tmp_path / "images" / "twin.jpg", picture(7))
    (tmp_path / "images" / "scan.dcm").write_bytes(b"-")
    (tmp_path / "images" / "more").mkdir()
    assert problems(tmp_path) == {
        "images/bare.png": "no mask of any structure",
        "images/scan.dcm": "not a jpg/jpeg/png/tif/tiff/bmp file",
        "images/more": "not a jpg/jpeg/png/tif/tiff/bmp file",
        "images/twin.png": "twin.jpg, twin.png have one name",
        "images/twin.jpg": "twin.jpg, twin.png have one name",
        "disc/orphan.png": "a mask without an image",
        "disc/x.bmp": "not a png file",
    }
    assert [c.id for c in scan(tmp_path).cases] == ["A-x"]


def test_a_folder_that_almost_names_a_structure_is_a_problem_because_its_labels_would_be_lost(tmp_path: Path) -> None:
    source(tmp_path, ["x"]).joinpath("cup").rename(tmp_path / "Cups")
    (tmp_path / "notes").mkdir()
    assert problems(tmp_path) == {"Cups": "not the name of a structure"}


def test_another_layout_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="no such folder"):
        scan(tmp_path / "gone")
    with pytest.raises(DataContractError, match="no folder 'images'"):
        scan(tmp_path)
    write(tmp_path / "images" / "x.png", picture(1))
    with pytest.raises(DataContractError, match=r"(?s)no structure.*disc/NAME\.png"):
        scan(tmp_path)
    with pytest.raises(UsageError, match="instrument has no name"):
        scan(source(tmp_path, ["x"]), instrument="")


def test_ids_are_safe_as_file_names_and_stay_apart() -> None:
    assert case_id("A", "eye_01.left") == "A-eye_01.left"
    assert case_id("A", "eye 1") != case_id("A", "eye_1") != case_id("A", "eye/1")
    assert all("/" not in name and " " not in name for name in (case_id("A/b", "x"), case_id("A", "Größe 1")))
    assert not case_id("../..", "x").startswith(".")


TABLE = "name,patient,split,grader,assisted,spacing\nx,P1,train,Dr A,no,0.01\ny,P1,,,YES,0.01 0.02\n"


def test_the_table_gives_patient_split_grader_and_spacing(tmp_path: Path) -> None:
    source(tmp_path, ["x", "y"]).joinpath("cases.csv").write_text(TABLE, encoding="utf-8-sig")
    found = scan(tmp_path)
    x, y = found.cases
    assert (x.patient, x.grader, x.assisted, x.spacing) == ("P1", "Dr A", False, (0.01, 0.01))
    assert (y.patient, y.grader, y.assisted, y.spacing) == ("P1", "", True, (0.01, 0.02))
    assert found.declared_splits == {"A-x": "train"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,,,,,", "no patient"),
        ("x,P,tset,,,", "split 'tset'"),
        ("x,P,,,perhaps,", "assisted 'perhaps'"),
        ("x,P,,,,-1", "spacing '-1'"),
        ("x,P,,,,wide", "spacing 'wide'"),
        ("x,P,,,,nan", "spacing 'nan'"),
        ("x,P\nx,Q", "'x' is there twice"),
        ("x,P\nghost,Q", "there is no image 'ghost'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    source(tmp_path, ["x"]).joinpath("cases.csv").write_text(f"name,patient,split,grader,assisted,spacing\n{line}\n")
    assert any(reason in p.reason and "line" in p.reason for p in scan(tmp_path).problems)


def test_with_a_table_an_image_it_leaves_out_has_no_patient_and_is_refused(tmp_path: Path) -> None:
    source(tmp_path, ["x", "y"]).joinpath("cases.csv").write_text("name,patient\nx,P1\n")
    assert problems(tmp_path) == {"images/y.png": "no valid line in cases.csv"}
    assert [c.id for c in scan(tmp_path).cases] == ["A-x"]


@pytest.mark.parametrize("text", ["name;patient\nx;P\n", "name,patient,side\nx,P,left\n", "", "name\nx\n"])
def test_a_table_with_other_columns_is_refused(tmp_path: Path, text: str) -> None:
    source(tmp_path, ["x"]).joinpath("cases.csv").write_text(text)
    with pytest.raises(DataContractError, match="columns are"):
        scan(tmp_path)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    source(tmp_path, ["x"]).joinpath("cases.csv").write_bytes(cv2.imencode(".png", picture(1))[1].tobytes())
    with pytest.raises(DataContractError, match="cannot be read"):
        scan(tmp_path)


def test_images_that_nobody_labelled_are_cases_without_masks(tmp_path: Path) -> None:
    source(tmp_path, ["x"])
    write(tmp_path / "unlabelled" / "u.png", picture(8))
    found = scan(tmp_path)
    assert [(c.id, c.patient, dict(c.masks)) for c in found.unlabelled] == [("A-u", "u", {})]
    assert [c.id for c in found.cases] == ["A-x"]
    assert not found.problems


def test_with_a_table_an_unlabelled_image_needs_its_patient_too(tmp_path: Path) -> None:
    source(tmp_path, ["x"])
    for number, name in enumerate(("u", "v")):
        write(tmp_path / "unlabelled" / f"{name}.png", picture(8 + number))
    (tmp_path / "cases.csv").write_text("name,patient\nx,P1\nu,P2\n")
    assert [(c.id, c.patient) for c in scan(tmp_path).unlabelled] == [("A-u", "P2")]
    assert problems(tmp_path) == {"unlabelled/v.png": "no valid line in cases.csv"}


def test_one_name_for_a_labelled_and_an_unlabelled_image_is_a_problem(tmp_path: Path) -> None:
    source(tmp_path, ["x"])
    write(tmp_path / "unlabelled" / "x.png", picture(8))
    assert problems(tmp_path) == {"unlabelled/x.png": "images has a 'x' too"}
    assert [c.id for c in scan(tmp_path).cases] == ["A-x"]


def test_a_point_is_enough_for_a_case_with_or_without_a_mask(tmp_path: Path) -> None:
    source(tmp_path, ["x", "bare", "p"], cups=False)
    for name in ("bare", "p"):
        (tmp_path / "disc" / f"{name}.png").unlink()
    write(tmp_path / "unlabelled" / "u.png", picture(8))
    write(tmp_path / "unlabelled" / "v.png", picture(9))
    rows = ("name,patient,disc_x,disc_y", "x,P1,40,30.5", "bare,P2,,", "p,P3,1,2", "u,P4,3,4", "v,P5,,")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    found = scan(tmp_path)
    assert {case.id: dict(case.points) for case in found.cases} == {
        "A-x": {"disc": (40.0, 30.5)}, "A-p": {"disc": (1.0, 2.0)}, "A-u": {"disc": (3.0, 4.0)}
    }  # fmt: skip
    assert [case.id for case in found.unlabelled] == ["A-v"]
    assert problems(tmp_path) == {"images/bare.png": "no mask of any structure"}


def test_points_alone_make_a_source(tmp_path: Path) -> None:
    write(tmp_path / "images" / "p.png", picture(1))
    (tmp_path / "cases.csv").write_text("name,patient,disc_x,disc_y\np,P1,5,6\n")
    assert [(case.id, dict(case.masks)) for case in scan(tmp_path).cases] == [("A-p", {})]


@pytest.mark.parametrize("point", ["1,", ",2", "-1,2", "a,b", "nan,1", "inf,1"])
def test_half_a_point_or_one_outside_the_plane_is_a_wrong_line(tmp_path: Path, point: str) -> None:
    source(tmp_path, ["x"]).joinpath("cases.csv").write_text(f"name,patient,disc_x,disc_y\nx,P1,{point}\n")
    assert any("the point of disc" in p.reason and "line 2" in p.reason for p in scan(tmp_path).problems)
    assert not scan(tmp_path).cases
