"""Labels from Label Studio and MONAI Label and to COCO, NIfTI and PNG; shapes are checked by hand."""

import json
from pathlib import Path
from typing import Any

import cv2
import data_kit
import numpy as np
import pytest
import reader_kit
import SimpleITK as sitk
from click.testing import CliRunner, Result

from parfocal.cli import parfocal
from parfocal.core.errors import DataContractError, ParfocalError
from parfocal.preprocessing.exchange import label_studio_rle, regions
from parfocal.readers.folder import FolderReader
from parfocal.readers.volume import VolumeReader

SMALL = np.zeros((4, 5), bool)
SMALL[1, 2:], SMALL[3, 0] = True, True
THEIRS = [0, 0, 0, 80, 57, 27, 254, 27, 0, 183, 255, 132, 192, 35, 255, 190, 0]
"""SMALL, by `encode_rle` of label-studio-sdk 2.1.2."""


def test_run_lengths_are_those_of_label_studio() -> None:
    np.testing.assert_array_equal(label_studio_rle.decode(THEIRS, 4, 5), SMALL)
    for mask in (SMALL, ~SMALL, np.zeros((300, 200), bool), np.eye(64, dtype=bool)):
        np.testing.assert_array_equal(label_studio_rle.decode(label_studio_rle.encode(mask), *mask.shape), mask)


def test_values_that_are_not_repeated_are_read_one_by_one() -> None:
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "00" + "111"  # 8 values of 8 bits, literally
    bits += "".join(f"{value:08b}" for value in (9, 9, 9, 255, 9, 9, 9, 0))
    data = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]
    assert label_studio_rle.decode(data, 1, 2).tolist() == [[True, False]]


@pytest.mark.parametrize(
    "data", [[], THEIRS[:9], THEIRS[:3], [300], ["a"], [0, 0, 0, 80, 57, 27, 254, 255] + [255] * 40]
)
def test_run_lengths_that_are_none_are_refused(data: list[Any]) -> None:
    with pytest.raises(DataContractError):
        label_studio_rle.decode(data, 4, 5)
    with pytest.raises(DataContractError, match="80 values"):
        label_studio_rle.decode(THEIRS, 5, 5)


def test_shapes_are_drawn_where_their_percents_say() -> None:
    box = {"x": 10, "y": 20, "width": 50, "height": 40}
    drawn = regions.rectangle(box, 10, 20)
    assert np.argwhere(drawn).min(0).tolist() == [2, 2]
    assert np.argwhere(drawn).max(0).tolist() == [5, 11]
    corners = [[10, 20], [60, 20], [60, 60], [10, 60]]
    np.testing.assert_array_equal(regions.polygon({"points": corners}, 10, 20), drawn)
    turned = regions.rectangle({"x": 50, "y": 0, "width": 50, "height": 25, "rotation": 90}, 20, 20)
    assert (np.argwhere(turned).min(0).tolist(), np.argwhere(turned).max(0).tolist()) == ([0, 5], [9, 9])
    circle = regions.ellipse({"x": 50, "y": 50, "radiusX": 25, "radiusY": 50}, 100, 200)
    assert circle.sum() == pytest.approx(np.pi * 50 * 50, rel=0.01)
    flat = regions.ellipse({"x": 50, "y": 50, "radiusX": 40, "radiusY": 10, "rotation": 90}, 100, 100)
    assert np.ptp(np.argwhere(flat), 0).tolist() == [79, 19], "it stands upright"
    assert regions.point({"x": 25, "y": 50}, 10, 20) == (5.0, 5.0)


def run(*words: object) -> Result:
    return CliRunner().invoke(parfocal, list(map(str, words)))


def region(kind: str, label: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    size = {"original_width": 80, "original_height": 60, "image_rotation": 0}
    return {"id": "r", "type": kind, "value": {**value, kind: [label]}, **size, **more}


DISC = region("ellipselabels", "Optic disc", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 25})
CUP_MASK = np.zeros((60, 80), bool)
CUP_MASK[25:35, 35:45] = True
CUP = region("brushlabels", "cup", {"format": "rle", "rle": label_studio_rle.encode(CUP_MASK)})


def task(number: int, picture: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "completed_by": {"email": "ada@clinic.org"}, "result": list(results), "updated_at": "2"}
    return {"id": number, "data": {"image": picture}, "annotations": [annotation], **more}


def photos(folder: Path, count: int) -> Path:
    for number in range(count):
        data_kit.write(folder / f"p{number}.png", data_kit.picture(number))
    return folder


def test_a_label_studio_project_becomes_a_folder_that_the_reader_reads(tmp_path: Path) -> None:
    images = photos(tmp_path / "photos", 8)
    older = {"id": 2, "result": [], "updated_at": "1", "was_cancelled": False}
    tasks = [
        task(1, "/data/upload/3/0a1b2c3d-p0.png", DISC, CUP),
        task(2, "/data/local-files/?d=eyes/p1.png", {**DISC, "origin": "prediction-changed"}),
        task(3, "s3://bucket/p2.png", DISC, predictions=[{"id": 5}]),
        task(4, "p3.png", region("keypointlabels", "disc", {"x": 25, "y": 50})),
        task(5, "p4.png", region("polygonlabels", "fovea", {"points": [[0, 0], [9, 0], [9, 9]]})),
        task(6, "p5.png", {**DISC, "original_width": 81}),
        task(7, "gone.png", DISC),
        task(8, "p6.png", region("brushlabels", "disc", {"format": "rle", "rle": [1, 2, 3]})),
        {**task(9, "p7.png", DISC), "annotations": [older, task(9, "", DISC)["annotations"][0]]},
        {"id": 10, "data": {"image": "p0.png"}, "annotations": [{"was_cancelled": True, "result": []}]},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    words = ("--images", images, "--out", tmp_path / "out", "--label", "Optic disc=disc", "--json")
    done = run("import", "label-studio", tmp_path / "export.json", *words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["cases"] == 5
    reasons = {Path(one["file"]).name[-6:]: one["reason"] for one in told["problems"]}
    assert "no structure" in reasons["task-5"]
    assert "81 x 60" in reasons["task-6"]
    assert "not in the folder" in reasons["task-7"]
    assert "cut short" in reasons["task-8"]
    assert "newest" in reasons["task-9"]
    assert "nobody" in reasons["ask-10"]
    found = FolderReader().scan(tmp_path / "out", tmp_path, task="fundus", instrument="A")
    assert [problem.file.name for problem in found.problems] == []
    cases = {case.id: case for case in found.cases}
    assert {name: case.assisted for name, case in cases.items()} == {
        "A-p0": False, "A-p1": True, "A-p2": True, "A-p3": False, "A-p7": False
    }  # fmt: skip
    assert cases["A-p0"].grader == "label-studio:ada@clinic.org"
    np.testing.assert_array_equal(cv2.imread(str(cases["A-p0"].masks["cup"]), 0) > 0, CUP_MASK)
    assert cases["A-p3"].points == {"disc": (20.0, 30.0)}
    assert (tmp_path / "out" / "images" / "p0.png").read_bytes() == (images / "p0.png").read_bytes()


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", "[]", json.dumps([{"data": {"image": "p0.png"}}])])
def test_what_is_no_project_leaves_nothing_behind(tmp_path: Path, content: str) -> None:
    (tmp_path / "export.json").write_text(content)
    photos(tmp_path / "photos", 1)
    done = run(
        "import", "label-studio", tmp_path / "export.json", "--images", tmp_path / "photos", "--out", tmp_path / "out"
    )
    assert isinstance(done.exception, ParfocalError)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["export.json", "photos"]


def datastore(folder: Path) -> Path:
    objects: dict[str, Any] = {}
    for number, labelled in enumerate((True, True, False)):
        name = f"ct{number}"
        reader_kit.save(folder / f"{name}.nii.gz", reader_kit.image(reader_kit.hu(number)))
        labels = {"final": {"ext": ".nii.gz", "info": {"label_info": [{"name": "Bone", "idx": 4}], "client_id": "ada"}}}
        if labelled:
            ball = reader_kit.ball((5, 24, 32), (1, 2, 3)) * 4
            reader_kit.save(folder / "labels" / "final" / f"{name}.nii.gz", reader_kit.image(ball.astype(np.uint8)))
        if number == 1:
            labels["original"] = {"ext": ".nii.gz", "info": {}}
        objects[name] = {"image": {"ext": ".nii.gz", "info": {}}, "labels": labels if number < 2 else {}}
    objects["../../etc/passwd"] = {"image": {"ext": "", "info": {}}, "labels": {"final": {"ext": "", "info": {}}}}
    told = {"name": "x", "description": "", "images_dir": ".", "labels_dir": "labels", "objects": objects}
    (folder / "datastore_v2.json").write_text(json.dumps(told))
    return folder


def test_a_datastore_of_monai_label_becomes_a_folder_of_volumes(tmp_path: Path) -> None:
    store = datastore(tmp_path / "store")
    done = run("import", "monai-label", store, "--task", "bone", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["cases"] == 2
    assert sorted(one["reason"] for one in told["problems"]) == [
        "it lies outside of the datastore",
        "nobody labelled it",
    ]
    found = VolumeReader().scan(tmp_path / "out", tmp_path / "work", task="bone", instrument="A")
    assert {case.slice.volume: (case.assisted, case.grader) for case in found.cases if case.masks and case.grader} == {
        "A-ct0": (False, "ada"), "A-ct1": (True, "ada")
    }  # fmt: skip
    assert not found.problems
    made = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "bone" / "ct0.nii.gz")))
    np.testing.assert_array_equal(made > 0, reader_kit.ball((5, 24, 32), (1, 2, 3)) > 0)
    wrong = run("import", "monai-label", store, "--task", "lung-ct", "--out", tmp_path / "no")
    assert "not one case" in str(wrong.exception)
    assert not (tmp_path / "no").exists()


def labelled(folder: Path) -> Path:
    photos(folder / "images", 2)
    for number in range(2):
        data_kit.write(folder / "disc" / f"p{number}.png", data_kit.circle(12))
    data_kit.write(folder / "cup" / "p0.png", data_kit.circle(6))
    (folder / "cases.csv").write_text("name,patient,grader,assisted,spacing\np0,P1,ada,no,0.01 0.02\np1,P2,bo,yes,\n")
    return folder


def test_coco_is_read_by_pycocotools(tmp_path: Path) -> None:
    pycoco = pytest.importorskip("pycocotools.coco", reason="needs pycocotools")
    source = labelled(tmp_path / "in")
    assert run("export", "labels", source, "--format", "coco", "--out", tmp_path / "out").exit_code == 0
    read = pycoco.COCO(str(tmp_path / "out" / "annotations.json"))
    assert [one["name"] for one in read.loadCats(read.getCatIds())] == ["disc", "cup"]
    by_file = {one["file_name"]: one for one in read.loadImgs(read.getImgIds())}
    assert (by_file["p0.png"]["patient"], by_file["p0.png"]["spacing_mm"]) == ("P1", [0.01, 0.02])
    drawn = 0
    for one in read.loadAnns(read.getAnnIds()):
        name = read.loadCats(one["category_id"])[0]["name"]
        file = Path(read.loadImgs(one["image_id"])[0]["file_name"]).with_suffix(".png")
        truth = cv2.imread(str(source / name / file), 0) > 0
        np.testing.assert_array_equal(read.annToMask(one) > 0, truth)
        assert one["area"] == truth.sum()
        x, y, width, height = one["bbox"]
        assert truth[y : y + height, x : x + width].sum() == truth.sum()
        assert one["attributes"]["assisted"] is (file.stem == "p1")
        drawn += 1
    assert drawn == 3


def test_nifti_pairs_and_png_masks(tmp_path: Path) -> None:
    source = labelled(tmp_path / "in")
    assert run("export", "labels", source, "--format", "nifti", "--out", tmp_path / "pairs").exit_code == 0
    label = sitk.ReadImage(str(tmp_path / "pairs" / "labels" / "p0.nii.gz"))
    assert label.GetSpacing() == pytest.approx((0.02, 0.01, 1.0))
    assert json.loads((tmp_path / "pairs" / "labels.json").read_text()) == {"disc": 1, "cup": 2}
    disc, cup = (cv2.imread(str(source / name / "p0.png"), 0) > 0 for name in ("disc", "cup"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label)[0], disc * 1 + cup * 1)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "pairs" / "images" / "p0.nii.gz")))
    np.testing.assert_array_equal(image.reshape(60, 80, 3)[..., ::-1], cv2.imread(str(source / "images" / "p0.png")))
    assert run("export", "labels", source, "--format", "png", "--out", tmp_path / "plain").exit_code == 0
    again = FolderReader().scan(tmp_path / "plain", tmp_path, task="fundus", instrument="A")
    assert [(case.patient, case.grader, case.assisted) for case in again.cases] == [
        ("P1", "ada", False),
        ("P2", "bo", True),
    ]
    refused = run("export", "labels", source, "--format", "png", "--out", tmp_path / "plain")
    assert "already" in str(refused.exception)


def test_a_slice_goes_back_to_where_it_lay_in_hounsfield_units(tmp_path: Path) -> None:
    source = reader_kit.volumes(tmp_path / "volumes")
    scan = VolumeReader().scan(source, tmp_path / "work", task="bone", instrument="A")
    case = next(one for one in scan.cases if one.slice == ("A-ct1a", 2))
    for folder, file in (("images", case.image), ("bone", case.masks["bone"])):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "s.png").write_bytes(file.read_bytes())
    done = run("export", "labels", tmp_path / "in", "--task", "bone", "--format", "nifti", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    made = sitk.ReadImage(str(tmp_path / "out" / "images" / "s.nii.gz"))
    whole = sitk.ReadImage(str(source / "images" / "ct1a.nii.gz"))
    for at in ((0, 0, 0), (5, 3, 0)):
        place = made.TransformIndexToPhysicalPoint(at)
        assert made[at] == whole[whole.TransformPhysicalPointToIndex(place)]
