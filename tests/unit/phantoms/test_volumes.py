import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from parfocal import phantoms
from parfocal.core.errors import UsageError
from parfocal.phantoms import leg, prostate, tomography
from parfocal.phantoms.examinations import GENERATORS
from parfocal.phantoms.fields import Grid
from parfocal.phantoms.volume import Volume
from parfocal.readers.folder import FolderReader

PAIRS = [(task, scanner) for task in GENERATORS for scanner in phantoms.scanners(task)]
SLICES = {"bone": 4, "lung": 1, "prostate": 4}


@cache
def made(task: str, scanner: str, patient: int) -> Volume:
    return phantoms.volume(task, scanner, patient, seed=0, slices=SLICES[task])


@pytest.mark.parametrize(("task", "scanner"), PAIRS)
def test_every_slice_shows_the_structure_whole_or_nearly_so(task: str, scanner: str) -> None:
    for patient in range(8):
        shown = made(task, scanner, patient)
        mask = shown.masks[task]
        assert shown.image.dtype == np.int16
        assert mask.shape == shown.image.shape
        assert set(np.unique(mask)) == {0, 1}
        assert all(20 < one.sum() < 0.55 * one.size for one in mask)
        assert not (mask[:, 0] & mask[:, -1]).any()  # nothing fills the picture from edge to edge


@pytest.mark.parametrize("task", GENERATORS)
def test_two_scanners_see_one_anatomy_in_two_appearances(task: str) -> None:
    """Laid on the first scanner's grid by millimetres alone, the second's mask is the first's."""
    first, second = phantoms.scanners(task)
    for patient in range(3):
        a, b = made(task, first, patient), made(task, second, patient)
        for one, other in zip(a.masks[task], b.masks[task], strict=True):
            scale = b.spacing[1] / a.spacing[1]
            shift = [
                (size - 1) / 2 - scale * (there - 1) / 2 for size, there in zip(one.shape, other.shape, strict=True)
            ]
            matrix = np.array([[scale, 0, shift[1]], [0, scale, shift[0]]])
            moved = cv2.warpAffine(other, matrix, one.shape[::-1], flags=cv2.INTER_LINEAR) > 0
            assert 2 * (moved & (one > 0)).sum() / (moved.sum() + one.sum()) > 0.8
        assert a.image.shape != b.image.shape or a.spacing != b.spacing
        assert max(_grain(a) / _grain(b), _grain(b) / _grain(a)) > 1.15


def _grain(shown: Volume) -> float:
    """How much of the contrast is between neighbouring pixels."""
    image = shown.image.astype(np.float32)
    return float(np.median(np.abs(np.diff(image, axis=2))) / image.std())


@pytest.mark.parametrize("task", GENERATORS)
def test_patients_differ_so_that_a_mask_of_another_patient_is_a_poor_guess(task: str) -> None:
    scanner = phantoms.scanners(task)[0]
    masks = [made(task, scanner, patient).masks[task][SLICES[task] // 2] > 0 for patient in range(8)]
    overlap = [2 * (a & b).sum() / (a.sum() + b.sum()) for i, a in enumerate(masks) for b in masks[:i]]
    assert np.mean(overlap) < {"bone": 0.35, "lung": 0.8, "prostate": 0.75}[task]
    areas = [mask.sum() for mask in masks]
    assert max(areas) > 1.3 * min(areas)


def test_tissues_of_the_leg_have_the_hounsfield_units_of_textbooks() -> None:
    grid = Grid(200, 200, 0.7)
    x, y = grid.planes()
    for patient in range(6):
        drawn = leg.draw_leg(0, patient)
        tissue, fibula = leg.section(drawn, 0.5, x, y, grid.pixel)
        tibia, calf, shell = leg.bones(drawn, 0.5)
        bone = tissue[fibula > 0.99]
        assert 700 <= bone.max() <= 1500
        assert tissue.min() == -1000
        assert -110 <= drawn.marrow <= 100
        assert ((tissue > -115) & (tissue < -60)).sum() > 200  # fat under the skin
        assert ((tissue > 20) & (tissue < 75)).sum() > 1000  # muscle
        assert tibia.radii[0] > 1.1 * calf.radii[0]  # the neighbour is the larger bone
        assert shell > 1


def test_the_image_is_brightest_in_the_masked_bone_and_its_neighbour_and_air_is_air() -> None:
    for scanner in phantoms.scanners("bone"):
        for patient in range(4):
            shown = made("bone", scanner, patient)
            bone = shown.masks["bone"] > 0
            assert np.percentile(shown.image[bone], 80) > 250
            corner = shown.image[:, :8, -8:] if leg.draw_leg(0, patient).side > 0 else shown.image[:, :8, :8]
            assert -1024 <= np.median(corner) < -930
            assert shown.image.min() >= -1024
            rivals = ndimage.label(shown.image[1] > 400)[1]
            assert rivals >= 2  # the shin bone too, at least


def test_metal_and_bone_leave_bands_and_streaks_in_what_is_uniform() -> None:
    tissue = np.full((1, 96, 96), 50.0, np.float32)

    def wrong(body: np.ndarray, hardening: float, photons: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        return tomography.artefact(body, 1.0, hardening=hardening, photons=photons, rng=rng)[0]

    assert np.abs(wrong(tissue, 0.3, 1e12)).max() < 1
    bones, metal = tissue.copy(), tissue.copy()
    for body, value in ((bones, 1500), (metal, 9000)):
        body[0, 44:52, 14:36] = body[0, 44:52, 60:82] = value
    hardened = wrong(bones, 0.3, 1e12)
    assert hardened[48, 48] < -10  # dark between the two
    assert hardened[48, 48] < hardened[8, 48] - 10
    between = np.s_[46:50, 40:56]
    assert wrong(metal, 0.0, 1e4)[between].std() > 3 * wrong(bones, 0.0, 1e4)[between].std()


def test_the_slices_of_an_examination_are_one_body_cut_at_even_steps() -> None:
    few, many = (phantoms.volume("prostate", "P", 3, seed=0, slices=count) for count in (3, 5))
    np.testing.assert_array_equal(few.masks["prostate"], many.masks["prostate"][::2])
    assert few.spacing[0] == pytest.approx(2 * many.spacing[0])
    low, high = prostate.ENDS
    assert few.spacing[0] * 2 / (high - low) > 8  # half the height of the smallest gland in millimetres
    middle, ends = many.masks["prostate"][2].sum(), many.masks["prostate"][[0, -1]].sum(axis=(1, 2))
    assert (middle > 2 * ends).all()


def test_the_lungs_are_darker_than_what_lies_between_and_disease_reaches_their_border() -> None:
    bright = 0
    for patient in range(12):
        shown = made("lung", "M", patient)
        mask, image = shown.masks["lung"][0] > 0, shown.image[0]
        box = ndimage.find_objects(mask.astype(int))[0]
        between = np.zeros_like(mask)
        between[box] = True
        assert np.median(image[mask]) < np.median(image[between & ~mask])
        rim = mask & ~ndimage.binary_erosion(mask, iterations=4)
        bright += (image[rim] > np.median(image[between & ~mask])).mean() > 0.12
    assert bright >= 4


def test_noise_of_magnitude_pictures_lifts_what_has_no_signal() -> None:
    """Rician: without signal the mean of the noise is its sigma times sqrt(pi / 2), never zero."""
    shown = made("prostate", "P", 0)
    assert shown.image.min() >= 0
    assert (shown.image == 0).mean() < 0.01


@pytest.mark.parametrize("task", GENERATORS)
def test_equal_arguments_give_equal_volumes_in_another_process(task: str) -> None:
    program = (
        "import hashlib; from parfocal import phantoms; "
        f"print(*[hashlib.sha256(phantoms.volume('{task}', s, 5, 9, 1).pictures.tobytes()).hexdigest() "
        f"for s in phantoms.scanners('{task}')])"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    here = [phantoms.volume(task, scanner, 5, 9, 1).pictures.tobytes() for scanner in phantoms.scanners(task)]
    assert there == [hashlib.sha256(data).hexdigest() for data in here]
    assert phantoms.volume(task, phantoms.scanners(task)[0], 5, 8, 1).pictures.tobytes() != here[0]


def test_files_are_what_the_folder_reader_takes_and_hold_every_value(tmp_path: Path) -> None:
    saved = phantoms.write_volumes(tmp_path, "bone", "Y", [3, 1], seed=0, slices=2, unlabelled=[7])
    found = FolderReader().scan(tmp_path, tmp_path / "work", task="bone", instrument="Y")
    assert found.problems == ()
    assert [case.patient for case in found.cases] == ["P0001", "P0001", "P0003", "P0003"]
    assert [case.patient for case in found.unlabelled] == ["P0007", "P0007"]
    assert [case.spacing for case in found.cases[2:]] == [one.spacing for one in saved[:2]]
    stored = cv2.imread(str(saved[1].image), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored.astype(int) - 1024, phantoms.volume("bone", "Y", 3, 0, 2).image[1])


def test_what_is_not_simulated_is_refused_with_what_is() -> None:
    with pytest.raises(UsageError, match="bone, lung, prostate"):
        phantoms.volume("vertebrae", "X", 0, 0)
    with pytest.raises(UsageError, match="X, Y"):
        phantoms.volume("bone", "Z", 0, 0)
    with pytest.raises(UsageError, match="numbers from 0 up"):
        phantoms.volume("prostate", "P", -1, 0)
