import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal import phantoms
from parfocal.core.errors import UsageError

PATIENTS = range(12)


@pytest.mark.parametrize("instrument", phantoms.INSTRUMENTS)
def test_the_cup_lies_in_the_disc_and_the_disc_in_the_photograph(instrument: str) -> None:
    for patient in PATIENTS:
        shown = phantoms.case(instrument, patient, seed=0)
        disc, cup = shown.masks["disc"] > 0, shown.masks["cup"] > 0
        assert disc.any()
        assert cup.any()
        assert not (cup & ~disc).any()
        assert shown.image.dtype == np.uint8
        assert shown.image.shape == (*disc.shape, 3)
        assert not (disc[0].any() or disc[-1].any() or disc[:, 0].any() or disc[:, -1].any())


def test_one_patient_has_one_anatomy_under_every_camera() -> None:
    for patient in PATIENTS:
        ratios = []
        for instrument in phantoms.INSTRUMENTS:
            masks = phantoms.case(instrument, patient, seed=0).masks
            ratios.append(masks["cup"].sum() / masks["disc"].sum())
        assert np.ptp(ratios) < 0.01


def test_one_patients_masks_under_two_cameras_are_one_shape_seen_twice() -> None:
    """Mapped from B's pixels to the retina and on to A's pixels, B's masks lie on A's, left eyes and right."""
    for patient in range(4):
        a, b = (phantoms.case(instrument, patient, seed=0) for instrument in "AB")
        to_a = np.vstack([a.view.matrix(), [0, 0, 1]]) @ np.linalg.inv(np.vstack([b.view.matrix(), [0, 0, 1]]))
        for structure in ("disc", "cup"):
            height, width = a.masks[structure].shape
            moved = cv2.warpAffine(b.masks[structure], to_a[:2], (width, height), flags=cv2.INTER_NEAREST) > 0
            there = a.masks[structure] > 0
            assert 2 * (moved & there).sum() / (moved.sum() + there.sum()) > 0.9
    assert len({phantoms.case("A", patient, seed=0).eye.temporal for patient in range(8)}) == 2


@pytest.mark.parametrize("instrument", "ABC")
def test_the_disc_lies_in_the_round_field_and_outside_it_is_black(instrument: str) -> None:
    camera = phantoms.INSTRUMENTS[instrument]
    y, x = np.mgrid[: camera.height, : camera.width]
    radius = np.hypot(x - (camera.width - 1) / 2, y - (camera.height - 1) / 2) / (camera.aperture * camera.width)
    for patient in range(4):
        shown = phantoms.case(instrument, patient, seed=0)
        assert radius[shown.masks["disc"] > 0].max() < 1.0
        assert shown.image[radius > 1.1].mean() < 12
        assert shown.image[radius < 0.9].mean() > 40


def test_a_third_of_the_patients_or_more_have_lesions_and_scars_that_look_like_discs() -> None:
    eyes = [phantoms.eye.draw_eye(0, patient) for patient in range(40)]
    for lesion in ("exudates", "haemorrhages", "scars"):
        assert sum(bool(getattr(eye, lesion)) for eye in eyes) >= 13
    assert any(eye.crescent for eye in eyes)


def test_patients_differ_in_disc_and_cup_as_people_do() -> None:
    ratios = []
    for patient in range(60):
        masks = phantoms.case("A", patient, seed=0).masks
        ratios.append(np.sqrt(masks["cup"].sum() / masks["disc"].sum()))
    assert min(ratios) < 0.4
    assert max(ratios) > 0.7


def test_the_disc_may_be_anywhere_in_the_field() -> None:
    centres = []
    for patient in range(60):
        disc = phantoms.case("A", patient, seed=0).masks["disc"]
        rows, columns = np.nonzero(disc)
        centres.append((rows.mean() / disc.shape[0], columns.mean() / disc.shape[1]))
    assert (np.ptp(centres, axis=0) > 0.4).all()


def test_cameras_differ_in_colour_noise_and_framing() -> None:
    colour, grain, size = {}, {}, {}
    for instrument in phantoms.INSTRUMENTS:
        shots = [phantoms.case(instrument, patient, seed=0) for patient in PATIENTS]
        means = np.mean([shot.image.reshape(-1, 3).mean(0) for shot in shots], axis=0)
        colour[instrument] = means / means.sum()
        grain[instrument] = np.mean(
            [cv2.Laplacian(cv2.GaussianBlur(s.image, (0, 0), 1), cv2.CV_32F).std() for s in shots]
        )
        size[instrument] = np.mean([shot.masks["disc"].mean() for shot in shots])
    assert all(np.abs(colour["A"] - colour[other]).max() > 0.02 for other in "BCD")
    assert grain["C"] > 1.2 * grain["A"]
    assert size["D"] > 2 * size["A"]


def test_the_camera_for_infants_shows_a_small_pale_disc_that_is_seldom_in_the_middle() -> None:
    part, contrast, away = {}, {}, []
    for instrument in "AR":
        shots = [phantoms.case(instrument, patient, seed=0) for patient in PATIENTS]
        part[instrument] = np.mean([shot.masks["disc"].mean() for shot in shots])
        contrast[instrument] = np.mean([_contrast(shot.image[..., 1], shot.masks["disc"]) for shot in shots])
    for shot in shots:
        height, width = shot.masks["disc"].shape
        away.append(np.hypot(shot.view.disc_at[0] / width - 0.5, shot.view.disc_at[1] / height - 0.5))
    assert part["R"] < 0.5 * part["A"]
    assert contrast["R"] < 0.8 * contrast["A"]
    assert np.median(away) > 0.15


def _contrast(plane: np.ndarray, disc: np.ndarray) -> float:
    """Step of brightness over the disc's rim, as a part of what is round it."""
    ring = (cv2.dilate(disc, np.ones((15, 15), np.uint8)) - disc) > 0
    return float(plane[disc > 0].mean() / plane[ring].mean() - 1)


def test_something_else_in_the_photograph_is_as_bright_as_the_disc() -> None:
    """Reflections and lesions: the brightest spot outside the disc rivals it in a good part of the photographs."""
    rivals = 0
    for patient in range(30):
        shown = phantoms.case("C", patient, seed=0)
        green = cv2.GaussianBlur(shown.image[..., 1], (0, 0), 3).astype(np.float32)
        disc = cv2.dilate(shown.masks["disc"], np.ones((15, 15), np.uint8)) > 0
        rivals += green[~disc].max() >= 0.9 * green[shown.masks["disc"] > 0].mean()
    assert rivals >= 10


def test_equal_arguments_give_equal_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from parfocal import phantoms; "
        "print(*[hashlib.sha256(phantoms.case(i, 5, 9).encode()[1]).hexdigest() for i in phantoms.INSTRUMENTS])"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    here = [hashlib.sha256(phantoms.case(i, 5, 9).encode()[1]).hexdigest() for i in phantoms.INSTRUMENTS]
    assert there == here
    assert phantoms.case("A", 5, 8).encode()[1] != phantoms.case("A", 5, 9).encode()[1]


def test_files_are_what_the_folder_reader_takes(tmp_path: Path) -> None:
    from parfocal.readers.folder import FolderReader

    phantoms.write(tmp_path, "B", range(4), seed=0)
    found = FolderReader().scan(tmp_path, tmp_path / "work", task="fundus", instrument="B")
    assert found.problems == ()
    assert [case.patient for case in found.cases] == ["P0000", "P0001", "P0002", "P0003"]
    assert all(case.grader == "phantom" and case.spacing is not None for case in found.cases)


def test_an_unknown_camera_is_refused() -> None:
    with pytest.raises(UsageError, match="A, B, C, D"):
        phantoms.case("E", 0, 0)
