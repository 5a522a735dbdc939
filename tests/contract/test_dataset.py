"""A dataset folder: what every later stage may rely on."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_kit import circle, dataset, patients, picture, source, write

from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.core.types import Split
from parfocal.preprocessing.shards import (
    DATASET,
    UNKNOWN,
    Dataset,
    checksum_of_tests,
    read_arrays,
    read_dataset,
    read_image,
    read_mask,
    read_points,
)

POINTED = [f"q{i:02d}" for i in range(10)]


@pytest.fixture(scope="module")
def pointed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 patients with masks and 10 of whom nobody drew a mask, but said where the disc is."""
    place = tmp_path_factory.mktemp("pointed")
    photos = source(place / "photos", patients(12))
    for i, name in enumerate(POINTED):
        write(photos / "images" / f"{name}.png", picture(500 + i))
    lines = [f"{name},{name},," for name in patients(12)] + [f"{name},{name},30,20" for name in POINTED]
    (photos / "cases.csv").write_text("\n".join(["name,patient,disc_x,disc_y", *lines]) + "\n")
    dataset(photos, place / "a", "static_augmentation.copies=0")
    return place / "a"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 patients; one has no cup."""
    place = tmp_path_factory.mktemp("dataset")
    photos = source(place / "photos", patients(20))
    (photos / "cup" / "p03.png").unlink()
    dataset(photos, place / "a", "static_augmentation.copies=2")
    return place / "a"


def test_it_is_sealed_and_lists_every_case_by_id(folder: Path) -> None:
    manifest.verify(folder, "dataset")
    read = read_dataset(folder)
    assert (read.task, read.instrument, read.reader, read.quota, read.declared) == (
        "fundus", "A", "folder", (60, 15, 25), False,
    )  # fmt: skip
    assert [case.id for case in read.cases] == [f"A-{name}" for name in patients(20)]
    assert [len(read.on(side)) for side in Split] == [12, 3, 5]


def test_images_are_kept_to_the_byte_and_masks_as_0_and_255(folder: Path) -> None:
    for case in read_dataset(folder).cases:
        assert manifest.sha256(folder / case.image) == case.checksum
        assert read_image(folder, case).shape == (60, 80, 3)
        disc = read_mask(folder, case, "disc")
        assert np.array_equal(disc, circle(12) > 0)
    lacking = next(case for case in read_dataset(folder).cases if case.patient == "p03")
    assert read_mask(folder, lacking, "cup") is None


def test_arrays_hold_the_cases_of_their_side_and_only_training_has_copies(folder: Path) -> None:
    read = read_dataset(folder)
    for side in Split:
        arrays = read_arrays(folder, "disc", side)
        assert arrays is not None
        rows = 3 if side is Split.TRAIN else 1
        assert arrays.case_ids == tuple(case.id for case in read.on(side) for _ in range(rows))
        assert (arrays.image.shape, arrays.image.dtype) == ((len(arrays), 32, 32, 3), np.uint8)
        assert (arrays.mask.shape, arrays.mask.dtype) == ((len(arrays), 32, 32), np.uint8)
        assert set(np.unique(arrays.mask)) == {0, 1}
    train = read_arrays(folder, "disc", Split.TRAIN)
    assert train is not None
    assert not np.array_equal(train.image[0], train.image[1])
    assert np.array_equal(train.mask[0], train.mask[1])


def test_cases_with_a_point_and_no_mask_are_on_a_side_and_apart_from_those_with_masks(pointed: Path) -> None:
    read = read_dataset(pointed)
    assert {case.patient for case in read.cases} == {*patients(12), *POINTED}
    assert not read.unlabelled
    points = [read_points(pointed, "disc", side) for side in Split]
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for side, arrays in zip(Split, points, strict=True):
        assert arrays is not None
        assert set(arrays.case_ids) == {case.id for case in read.on(side)}
        found |= {name: (arrays.mask[i], arrays.points[i]) for i, name in enumerate(arrays.case_ids)}
        drawn = read_arrays(pointed, "disc", side)
        assert drawn is not None
        assert set(drawn.case_ids) == {case.id for case in read.on(side) if case.masks}
        assert drawn.mask.max() == 1
    for name in POINTED:
        mask, point = found[f"A-{name}"]
        assert (mask == UNKNOWN).all()
        assert np.allclose(point, ((30.5 - 8) / 64, (20.5 - 6) / 48))  # the frame is the photograph less a tenth
    for name in patients(12):
        mask, point = found[f"A-{name}"]
        assert np.allclose(point, (32.5 / 64, 24.5 / 48), atol=1e-6)


def test_a_dataset_without_points_has_those_of_its_masks_and_inner_structures_have_theirs(folder: Path) -> None:
    cup = read_points(folder, "cup", Split.TEST)
    assert cup is not None
    assert np.allclose(cup.points, 0.5, atol=0.02)


def test_a_case_without_a_structure_has_no_row_for_it(folder: Path) -> None:
    rows = [read_arrays(folder, "cup", side) for side in Split]
    names = {name for arrays in rows if arrays is not None for name in arrays.case_ids}
    assert names == {f"A-{name}" for name in patients(20)} - {"A-p03"}


def test_the_cups_frame_is_the_true_discs_box_with_its_margin(folder: Path) -> None:
    cup = read_arrays(folder, "cup", Split.TEST)
    assert cup is not None
    expected = np.pi * 6**2 / (25 * 1.2) ** 2  # radius 6 in a box of 25 + 2 * 10 %
    assert abs(cup.mask.mean() - expected) < 0.02


def test_a_structure_or_side_without_labels_has_no_file(tmp_path: Path) -> None:
    dataset(source(tmp_path / "photos", patients(8), cups=False), tmp_path / "a")
    assert read_arrays(tmp_path / "a", "cup", Split.TRAIN) is None
    assert not list((tmp_path / "a" / "arrays").glob("cup-*"))


def test_the_test_checksum_covers_ids_images_and_masks_of_test_cases_alone(folder: Path) -> None:
    read = read_dataset(folder)
    assert read.test_checksum == checksum_of_tests(read.cases) == checksum_of_tests(reversed(read.cases))
    for side, differs in ((Split.TEST, True), (Split.TRAIN, False), (Split.VALIDATION, False)):
        one = read.on(side)[0]
        for change in ({"id": "x"}, {"checksum": "0"}, {"mask_checksums": {**one.mask_checksums, "disc": "0"}}):
            others = [case if case is not one else one.model_copy(update=change) for case in read.cases]
            assert (checksum_of_tests(others) != read.test_checksum) is differs


def test_the_same_source_gives_the_same_dataset(tmp_path: Path, folder: Path) -> None:
    photos = folder.parent / "photos"
    again = dataset(photos, tmp_path / "again", "static_augmentation.copies=2")
    assert again.checksum == manifest.read(folder).checksum
    other = dataset(photos, tmp_path / "other", "static_augmentation.copies=2", "seed=1")
    differing = {name for name in again.files if again.files[name] != other.files[name]}
    assert differing == {"arrays/disc-train.safetensors", "arrays/cup-train.safetensors"}


def test_the_list_has_no_path_of_this_machine(folder: Path) -> None:
    assert str(folder.parent) not in (folder / DATASET).read_text()


@pytest.mark.parametrize("name", [DATASET, "arrays/disc-train.safetensors"])
def test_a_file_that_was_touched_or_removed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    dataset(source(tmp_path / "photos", patients(8)), tmp_path / "a")
    file = tmp_path / "a" / name
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataContractError, match=file.name):
        read_arrays(tmp_path / "a", "disc", Split.TRAIN)
    file.unlink()
    with pytest.raises(DataContractError, match=file.name):
        read_arrays(tmp_path / "a", "disc", Split.TRAIN)


def test_a_list_with_a_key_from_the_future_is_refused(tmp_path: Path, folder: Path) -> None:
    values = json.loads((folder / DATASET).read_text()) | {"future": 1}
    with manifest.new_folder(tmp_path / "a", "dataset") as scratch:
        (scratch / DATASET).write_text(json.dumps(values))
    with pytest.raises(DataContractError, match="future"):
        read_dataset(tmp_path / "a")
    with manifest.new_folder(tmp_path / "b", "dataset") as scratch:
        (scratch / "other").write_text("-")
    with pytest.raises(DataContractError, match=r"without dataset\.json"):
        read_dataset(tmp_path / "b")


def test_its_schema_explains_the_fields_that_do_not_explain_themselves() -> None:
    assert Dataset.model_json_schema()["properties"]["quota"]["description"]
