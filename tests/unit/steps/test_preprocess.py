"""Preprocess: all of a source or nothing, patients on one side for ever, and a reason for every file left out."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_kit import Notes, champion, circle, config, dataset, patients, picture, source, write

from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Split
from parfocal.preprocessing import ingest
from parfocal.preprocessing.shards import read_arrays, read_dataset
from parfocal.steps import preprocess, preprocess_look


def sides(folder: Path) -> dict[str, Split]:
    return {case.patient: case.split for case in read_dataset(folder).cases}


def table(folder: Path, rows: str, columns: str = "name,patient,split,assisted") -> Path:
    (folder / "cases.csv").write_text(f"{columns}\n{rows}\n")
    return folder


# ---- whole or nothing ------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """10 sound cases and one of every kind of damage."""
    photos = source(tmp_path / "photos", patients(10))
    for name in ("size", "torn", "gone", "levels", "empty"):
        write(photos / "images" / f"{name}.png", picture(len(name) * 77))
        write(photos / "disc" / f"{name}.png", circle(12))
    write(photos / "disc" / "size.png", circle(12, 80, 60))
    torn = photos / "images" / "torn.png"
    torn.write_bytes(torn.read_bytes()[:2000])
    (photos / "images" / "gone.png").unlink()
    write(photos / "disc" / "levels.png", circle(12) // 2)
    write(photos / "disc" / "empty.png", np.zeros((60, 80), np.uint8))
    (photos / "images" / "copy.png").write_bytes((photos / "images" / "p00.png").read_bytes())
    write(photos / "disc" / "copy.png", circle(12))
    return photos


REASONS = {
    "disc/size.png": "60 x 80, but the image is 80 x 60; one of them is on its side",
    "images/torn.png": "unreadable or cut short",
    "disc/gone.png": "a mask without an image",
    "disc/levels.png": "values 0, 127",
    "disc/empty.png": "the mask is empty",
    "images/p00.png": "the same image as copy.png, and they are two patients: copy, p00",
}


def test_bad_files_refuse_the_whole_source_and_every_one_is_named(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(DataContractError) as refused:
        dataset(damaged, tmp_path / "a")
    for file, reason in REASONS.items():
        assert f"{file}: {reason}" in str(refused.value)
    assert "6 problems; 10 cases are fine; nothing was written" in str(refused.value)
    assert "on_invalid=drop" in str(refused.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]


def test_asked_to_drop_it_takes_the_good_cases_and_records_the_others(damaged: Path, tmp_path: Path) -> None:
    notes = Notes()
    dataset(damaged, tmp_path / "a", "data.on_invalid=drop", reporter=notes)
    read = read_dataset(tmp_path / "a")
    assert sorted(case.patient for case in read.cases) == ["copy", *patients(10)[1:]]
    rejected = {one.file: f"{one.reason}; {one.next}" for one in read.rejected}
    assert rejected.keys() == REASONS.keys()
    assert all(rejected[file].startswith(reason) for file, reason in REASONS.items())
    assert any("6 files were left out" in note for note in notes.notes)
    kept = {file.stem for file in (tmp_path / "a").rglob("*.png")}
    assert kept == {case.id for case in read.cases}


def test_a_source_that_is_all_bad_says_so_even_when_dropping(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", ["x"])
    write(photos / "disc" / "x.png", np.zeros((60, 80), np.uint8))
    with pytest.raises(DataContractError, match=r"(?s)0 new cases.*disc/x\.png: the mask is empty"):
        dataset(photos, tmp_path / "a", "data.on_invalid=drop")


def test_too_few_patients_for_three_sides_is_told_with_the_number_that_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=r"(?s)nothing on side validation.*at least 4 new patients"):
        dataset(source(tmp_path / "photos", patients(3)), tmp_path / "a")
    dataset(source(tmp_path / "photos", patients(4)), tmp_path / "a")


def test_a_source_that_vanishes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = source(tmp_path / "photos", patients(6))
    scan = preprocess_look.contradictions

    def meanwhile(*arguments):
        (photos / "images" / "p01.png").unlink()
        (photos / "disc" / "p02.png").unlink()
        write(photos / "images" / "p03.png", picture(99))
        return scan(*arguments)

    monkeypatch.setattr(preprocess_look, "contradictions", meanwhile)
    with pytest.raises(DataContractError) as refused:
        dataset(photos, tmp_path / "a")
    for line in ("images/p01.png: cannot be read: No such file", "disc/p02.png: cannot be read", "p03.png: it changed"):
        assert line in str(refused.value)
    assert "3 cases are fine" in str(refused.value)


def test_killed_in_the_middle_it_leaves_nothing_that_looks_finished_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(12))
    program = (
        "import os, signal, sys; from pathlib import Path; from data_kit import Notes, dataset\n"
        "class Kill(Notes):\n"
        "    def progress(self, stage, done, total):\n"
        "        if done == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "dataset(Path(sys.argv[1]), Path(sys.argv[2]), reporter=Kill())"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    killed = subprocess.run(
        [sys.executable, "-c", program, photos, tmp_path / "a"], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.glob(".a.*.partial"))
    dataset(photos, tmp_path / "a")
    manifest.verify(tmp_path / "a", "dataset")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "photos"]


def test_a_full_disk_is_an_error_of_the_disk_not_of_the_case_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = source(tmp_path / "photos", patients(6))

    def full(file: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(ingest, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        dataset(photos, tmp_path / "a", "data.on_invalid=drop")
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]


def test_an_output_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(6))
    dataset(photos, tmp_path / "a")
    with pytest.raises(UsageError, match="already there"):
        dataset(photos, tmp_path / "a")


def test_progress_is_told_case_by_case(tmp_path: Path) -> None:
    notes = Notes()
    dataset(source(tmp_path / "photos", patients(6)), tmp_path / "a", reporter=notes)
    assert notes.steps == [(i, 6) for i in range(1, 7)]
    assert notes.notes[0] == "A: 6 cases; patients: train 4, validation 1, test 1"


def test_what_a_person_should_look_at_is_noted_and_taken_all_the_same(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(6))
    write(photos / "cup" / "p01.png", np.roll(circle(6), 12, axis=1))
    write(photos / "disc" / "p02.png", np.roll(circle(12), 27, axis=1))
    (photos / "disc" / "p03.png").unlink()
    notes = Notes()
    dataset(photos, tmp_path / "a", reporter=notes)
    assert "1 of 6 cases have a cup without its disc, so no frame to learn it from" in notes.notes
    assert "2 of 6 cases have more than 5% of the cup outside the disc" in notes.notes
    assert "1 of 6 cases have more than 5% of the disc outside the frame the recipe keeps" in notes.notes
    assert len(read_dataset(tmp_path / "a").cases) == 6


def test_an_instrument_without_a_name_is_refused(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(6))
    with pytest.raises(UsageError, match=r"no name|no instrument"):
        dataset(photos, tmp_path / "a", instrument='""')
    assert not (tmp_path / "a").exists()


def test_phantoms_without_a_name_belong_to_the_camera_of_their_recipe(tmp_path: Path) -> None:
    (tmp_path / "phantom.json").write_text('{"instrument": "B", "patients": [0, 4]}')
    dataset(tmp_path, tmp_path / "a", "data.reader=phantom", instrument='""')
    assert read_dataset(tmp_path / "a").instrument == "B"


def test_phantoms_go_the_same_way_and_leave_no_workplace_behind(tmp_path: Path) -> None:
    (tmp_path / "phantom.json").write_text('{"instrument": "B", "patients": [0, 4]}')
    made = dataset(tmp_path, tmp_path / "a", "data.reader=phantom", instrument="B")
    assert [case.id for case in read_dataset(tmp_path / "a").cases] == [f"B-P{i:04d}" for i in range(4)]
    assert not any(".work" in name for name in made.files)


# ---- sides -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """A champion that has learned 20 patients of A."""
    dataset(source(tmp_path / "a-photos", patients(20)), tmp_path / "a")
    return champion(tmp_path / "champion", tmp_path / "a")


def test_a_new_instrument_keeps_half_of_its_patients_for_the_test(learned: Path, tmp_path: Path) -> None:
    photos = source(tmp_path / "b-photos", patients(20, "q"), seed=1)
    made = dataset(photos, tmp_path / "b", instrument="B", champion=learned)
    read = read_dataset(tmp_path / "b")
    assert read.quota == (40, 10, 50)
    assert [len(read.on(side)) for side in Split] == [8, 2, 10]
    assert [(parent.kind, parent.checksum) for parent in made.parents] == [
        ("bundle", manifest.read(learned).checksum),
        ("dataset", manifest.read(tmp_path / "a").checksum),
    ]


def test_known_patients_keep_their_side_and_only_new_ones_are_dealt(learned: Path, tmp_path: Path) -> None:
    before = sides(tmp_path / "a")
    names = [f"{name}-again" for name in patients(20)] + patients(20, "new")
    photos = source(tmp_path / "later", names, seed=2)
    rows = [f"{name},{name.removesuffix('-again')}" for name in names]
    dataset(table(photos, "\n".join(rows), "name,patient"), tmp_path / "a2", champion=learned)
    after = sides(tmp_path / "a2")
    assert {patient: after[patient] for patient in before} == before
    new = [after[patient] for patient in patients(20, "new")]
    assert [new.count(side) for side in Split] == [12, 3, 5]


def test_a_growing_folder_brings_only_what_is_new(learned: Path, tmp_path: Path) -> None:
    photos = source(tmp_path / "a-photos", patients(24))
    dataset(photos, tmp_path / "a2", champion=learned)
    read = read_dataset(tmp_path / "a2")
    assert [case.patient for case in read.cases] == patients(24)[20:]
    assert {one.reason for one in read.rejected} == {"the champion knows this case with these masks"}
    with pytest.raises(DataContractError, match="0 new cases"):
        dataset(source(tmp_path / "old", patients(20)), tmp_path / "a3", champion=learned)


def test_a_patient_keeps_one_side_at_every_instrument_unless_keys_are_the_instruments_own(
    learned: Path, tmp_path: Path
) -> None:
    before = sides(tmp_path / "a")
    photos = source(tmp_path / "b-photos", patients(20) + patients(10, "new"), seed=1)
    notes = Notes()
    dataset(photos, tmp_path / "b", instrument="B", champion=learned, reporter=notes)
    after = sides(tmp_path / "b")
    assert {patient: after[patient] for patient in before} == before
    assert [[after[p] for p in patients(10, "new")].count(side) for side in Split] == [4, 1, 5]
    assert any("20 patients are known from other instruments" in note for note in notes.notes)
    dataset(photos, tmp_path / "c", "split.patients=instrument", instrument="B", champion=learned)
    assert [len(read_dataset(tmp_path / "c").on(side)) for side in Split] == [12, 3, 15]


def test_declared_splits_are_followed_recorded_and_refused_when_a_patient_is_on_two_sides(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(6))
    rows = ["p00,P,test,", "p01,P,test,", "p02,Q,train,", "p03,R,validation,", "p04,S,,", "p05,T,,"]
    dataset(table(photos, "\n".join(rows)), tmp_path / "a")
    found = sides(tmp_path / "a")
    assert (found["P"], found["Q"], found["R"]) == (Split.TEST, Split.TRAIN, Split.VALIDATION)
    assert read_dataset(tmp_path / "a").declared
    table(photos, "\n".join([*rows[:1], "p01,P,train,", *rows[2:]]))
    with pytest.raises(DataContractError) as refused:
        dataset(photos, tmp_path / "b")
    for file in ("p00", "p01"):
        assert f"images/{file}.png: patient P is on two sides: test and train" in str(refused.value)


def test_a_declared_split_cannot_move_a_patient_who_is_frozen(learned: Path, tmp_path: Path) -> None:
    frozen = next(patient for patient, side in sides(tmp_path / "a").items() if side is Split.TEST)
    photos = table(source(tmp_path / "later", ["x"], seed=3), f"x,{frozen},train,")
    with pytest.raises(DataContractError, match=f"patient {frozen} is on side test for ever"):
        dataset(photos, tmp_path / "a2", champion=learned)


def test_assisted_labels_go_to_training_only(learned: Path, tmp_path: Path) -> None:
    by_side = {side: patient for patient, side in sides(tmp_path / "a").items()}
    names = ["t", "v", "r", "n"]
    rows = (
        f"t,{by_side[Split.TEST]},,yes\nv,{by_side[Split.VALIDATION]},,yes\nr,{by_side[Split.TRAIN]},,yes\nn,new,,yes"
    )
    dataset(table(source(tmp_path / "later", names, seed=3), rows), tmp_path / "a2", champion=learned)
    read = read_dataset(tmp_path / "a2")
    assert {case.id: case.split for case in read.cases} == {"A-n": Split.TRAIN, "A-r": Split.TRAIN}
    assert {one.file for one in read.rejected} == {"images/t.png", "images/v.png"}
    assert all("saw a model's mask" in one.reason for one in read.rejected)
    assert {file.stem for file in (tmp_path / "a2").rglob("*.png")} == {"A-n", "A-r"}


def test_an_image_the_champion_knows_is_not_taken_again_under_another_name_patient_or_instrument(
    learned: Path, tmp_path: Path
) -> None:
    for instrument, name in (("B", "p00"), ("A", "other")):
        photos = source(tmp_path / f"{instrument}-{name}", [name])
        with pytest.raises(DataContractError, match="the same image as A-p00, which the champion knows"):
            dataset(photos, tmp_path / "x", instrument=instrument, champion=learned)
    photos = table(source(tmp_path / "moved", ["p00"]), "p00,somebody,,")
    with pytest.raises(DataContractError, match="of patient p00, here it is of somebody"):
        dataset(photos, tmp_path / "x", champion=learned)


def test_another_image_under_a_known_name_is_refused(learned: Path, tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="another image than the A-p00 that the champion knows"):
        dataset(source(tmp_path / "later", ["p00"], seed=4), tmp_path / "x", champion=learned)


def test_frozen_test_masks_never_change_but_training_labels_may_be_corrected(learned: Path, tmp_path: Path) -> None:
    by_side = {side: patient for patient, side in sides(tmp_path / "a").items()}
    photos = tmp_path / "a-photos"
    write(photos / "disc" / f"{by_side[Split.TRAIN]}.png", circle(11))
    dataset(photos, tmp_path / "a2", champion=learned)
    assert [case.patient for case in read_dataset(tmp_path / "a2").cases] == [by_side[Split.TRAIN]]
    write(photos / "disc" / f"{by_side[Split.TEST]}.png", circle(11))
    with pytest.raises(DataContractError, match=f"differs from the frozen test mask of A-{by_side[Split.TEST]}"):
        dataset(photos, tmp_path / "a3", champion=learned)


def test_a_structure_that_was_labelled_later_brings_its_cases_back_on_the_same_side(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(8), cups=False)
    dataset(photos, tmp_path / "a")
    known = champion(tmp_path / "champion", tmp_path / "a")
    dataset(source(photos, patients(8)), tmp_path / "a2", champion=known)
    assert sides(tmp_path / "a2") == sides(tmp_path / "a")
    assert read_arrays(tmp_path / "a2", "cup", Split.TEST) is not None


# ---- what the champion brings ----------------------------------------------------------------------------------------


def test_another_recipe_than_the_champions_is_refused(learned: Path, tmp_path: Path) -> None:
    photos = source(tmp_path / "b-photos", patients(6, "q"), seed=1)
    with pytest.raises(DataContractError, match="another recipe"):
        dataset(photos, tmp_path / "b", "recipe.border=0.2", instrument="B", champion=learned)


def test_a_dataset_of_the_champion_that_is_gone_or_another_stops_it_because_patients_could_move(
    learned: Path, tmp_path: Path
) -> None:
    photos = source(tmp_path / "b-photos", patients(6, "q"), seed=1)
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    with pytest.raises(DataContractError, match="no manifest"):
        dataset(photos, tmp_path / "b", instrument="B", champion=learned)
    dataset(source(tmp_path / "c-photos", patients(9, "r"), seed=5), tmp_path / "a")
    with pytest.raises(DataContractError, match="not the dataset that the champion learned from"):
        dataset(photos, tmp_path / "b", instrument="B", champion=learned)


# ---- real photographs ------------------------------------------------------------------------------------------------


def test_drishti_and_then_idrid_are_read_and_split_by_the_contract(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    first, second = real_data("drishti_gs1"), real_data("idrid_od")
    preprocess.run(
        first, tmp_path / "a", config("recipe.size=64", instrument="drishti"), champion=None, reporter=Notes()
    )
    read = read_dataset(tmp_path / "a")
    assert [len(read.on(side)) for side in Split] == [61, 15, 25]
    assert not read.rejected
    assert all(
        (tmp_path / "a" / f"arrays/{name}-{side}.safetensors").is_file() for name in ("disc", "cup") for side in Split
    )
    known = champion(tmp_path / "champion", tmp_path / "a")
    settings = config("recipe.size=64", instrument="idrid")
    preprocess.run(second, tmp_path / "b", settings, champion=known, reporter=Notes())
    read = read_dataset(tmp_path / "b")
    assert [len(read.on(side)) for side in Split] == [8, 2, 10]
    assert read_arrays(tmp_path / "b", "cup", Split.TRAIN) is None
    disc = read_arrays(tmp_path / "b", "disc", Split.TEST)
    assert disc is not None
    brightness = [
        image[mask > 0].mean() - image[mask == 0].mean() for image, mask in zip(disc.image, disc.mask, strict=True)
    ]
    assert np.median(brightness) > 40  # masks lie on discs, not beside them


def test_opencv_is_not_told_how_many_threads_to_use(tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    dataset(source(tmp_path / "photos", patients(6)), tmp_path / "a")
    assert cv2.getNumThreads() == before


# ---- unlabelled images -----------------------------------------------------------------------------------------------


def unlabelled(folder: Path, count: int, seed: int = 900) -> Path:
    for i in range(count):
        write(folder / "unlabelled" / f"u{i:02d}.png", picture(seed + i))
    return folder


def test_unlabelled_images_are_kept_on_no_side_and_teach_nothing(tmp_path: Path) -> None:
    plain = source(tmp_path / "plain", patients(12))
    dataset(plain, tmp_path / "without")
    notes = Notes()
    dataset(unlabelled(plain, 5), tmp_path / "with", reporter=notes)
    without, found = read_dataset(tmp_path / "without"), read_dataset(tmp_path / "with")
    assert [case.id for case in found.unlabelled] == [f"A-u{i:02d}" for i in range(5)]
    assert found.cases == without.cases
    assert found.test_checksum == without.test_checksum
    assert all((tmp_path / "with" / case.image).is_file() for case in found.unlabelled)
    for side in Split:
        one, other = read_arrays(tmp_path / "with", "disc", side), read_arrays(tmp_path / "without", "disc", side)
        assert one is not None
        assert other is not None
        assert one.case_ids == other.case_ids
    assert any("unlabelled 5" in note for note in notes.notes)


def test_a_broken_unlabelled_image_is_a_problem_like_any_other(tmp_path: Path) -> None:
    photos = unlabelled(source(tmp_path / "photos", patients(12)), 2)
    torn = photos / "unlabelled" / "u01.png"
    torn.write_bytes(torn.read_bytes()[:400])
    with pytest.raises(DataContractError, match=r"unlabelled/u01.png: unreadable"):
        dataset(photos, tmp_path / "out")
    dataset(photos, tmp_path / "out", "data.on_invalid=drop")
    assert [case.id for case in read_dataset(tmp_path / "out").unlabelled] == ["A-u00"]


def test_a_labelled_image_cannot_be_among_the_unlabelled(tmp_path: Path) -> None:
    photos = source(tmp_path / "photos", patients(12))
    write(photos / "unlabelled" / "again.png", picture(0))
    with pytest.raises(DataContractError, match="the same image as"):
        dataset(photos, tmp_path / "out")
