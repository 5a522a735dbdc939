"""The two instruments of the demo: who is learned from, who comes to the endpoint, what an annotator hands in."""

import csv
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import data_kit
import pytest

from parfocal.cli.demo import cameras
from parfocal.cli.demo.cameras import WITHHELD
from parfocal.cli.demo.settings import POPULATIONS
from parfocal.core.errors import DataContractError
from parfocal.readers.folder import FolderReader


def folder(where: Path, patients: int, *, each: int = 2, seed: int = 0) -> Path:
    """A source in which every patient has several images."""
    names = [f"p{p:02d}-{eye}" for p in range(patients) for eye in range(each)]
    data_kit.source(where, names, seed=seed)
    with (where / "cases.csv").open("w", newline="") as stream:
        rows = [(name, name[:3], "dr-who", "yes" if name == "p00-0" else "", "0.01 0.02") for name in names]
        csv.writer(stream).writerows([("name", "patient", "grader", "assisted", "spacing"), *rows])
    return where


def stems(files: Iterable[Path]) -> set[str]:
    return {file.stem for file in files}


def test_whole_patients_are_withheld_and_come_to_the_endpoint_instead(tmp_path: Path) -> None:
    data, new = folder(tmp_path / "old", 2 * WITHHELD + 1), folder(tmp_path / "new", 3, seed=1)
    cast = cameras.photographs(data, new, tmp_path / "out")
    learned = stems((cast.experience / "images").iterdir())
    traffic = {photograph.patient for photograph in cast.traffic.take(100)}  # its file is all a folder camera knows
    assert learned | traffic == stems((data / "images").iterdir())
    assert not {name[:3] for name in learned} & {name[:3] for name in traffic}
    assert len({name[:3] for name in traffic}) == 2


def test_the_experience_links_to_files_that_stay_and_keeps_what_is_known_of_a_case(tmp_path: Path) -> None:
    data, new = folder(tmp_path / "old", 2 * WITHHELD), folder(tmp_path / "new", 3, seed=1)
    cast = cameras.photographs(data, new, tmp_path / "out")
    for file in (cast.experience / "disc").iterdir():
        assert file.is_symlink()
        assert file.resolve() == data / "disc" / file.name
    here = FolderReader().scan(cast.experience, tmp_path, task="fundus", instrument="old").cases
    there = {case.id: case for case in FolderReader().scan(data, tmp_path, task="fundus", instrument="old").cases}
    assert len(here) == 2 * 2 * (WITHHELD - 1)
    for case in here:
        origin = there[case.id]
        assert (case.patient, case.grader, case.assisted, case.spacing, case.checksum) == (
            origin.patient, origin.grader, origin.assisted, origin.spacing, origin.checksum
        )  # fmt: skip


def test_the_same_folders_are_dealt_the_same_way(tmp_path: Path) -> None:
    data, new = folder(tmp_path / "old", 2 * WITHHELD), folder(tmp_path / "new", 3, seed=1)
    one, other = (cameras.photographs(data, new, tmp_path / out) for out in ("one", "other"))
    assert stems((one.experience / "images").iterdir()) == stems((other.experience / "images").iterdir())
    assert one.traffic.take(100) == other.traffic.take(100)


def test_even_few_patients_leave_somebody_for_the_endpoint_and_requests_keep_coming(tmp_path: Path) -> None:
    cast = cameras.photographs(
        folder(tmp_path / "old", 3), folder(tmp_path / "new", 2, seed=1, each=1), tmp_path / "out"
    )
    assert len(cast.traffic.take(100)) == 2
    assert len(cast.background.take(7)) == 7
    assert cast.patience == len(cast.arrivals.take(100)) == 2


def test_the_last_case_that_is_handed_in_is_a_labelled_one(tmp_path: Path) -> None:
    data, new = folder(tmp_path / "old", 5), folder(tmp_path / "new", 2, seed=1)
    data_kit.write(new / "unlabelled" / "zz.png", data_kit.picture(99))
    with (new / "cases.csv").open("a") as stream:
        stream.write("zz,p77,,,\n")
    cast = cameras.photographs(data, new, tmp_path / "out")
    assert [len(one.files) for one in cast.labels] == [1, 3, 3, 3, 3]
    assert (cast.labels[1].name, cast.labels[1].patient, cast.labels[1].grader) == ("p00-0", "p00", "dr-who")
    assert [one.assisted for one in cast.labels] == [False, True, False, False, False]


def test_labels_are_counted_as_the_monitor_will_count_them(tmp_path: Path) -> None:
    new = folder(tmp_path / "new", 4, each=1)
    twin = new / "images" / "p01-0.png"
    twin.write_bytes((new / "images" / "p00-0.png").read_bytes())
    data_kit.write(new / "unlabelled" / "zz.png", data_kit.picture(99))
    with (new / "cases.csv").open("a") as stream:
        stream.write("zz,p77,,,\n")
    assert cameras.labels((new, new)) == 3
    assert cameras.labels(None) == len(POPULATIONS["B"].labelled)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    data_kit.write(tmp_path / "new" / "images" / "a.png", data_kit.picture(1))
    (tmp_path / "new" / "disc").mkdir()
    with pytest.raises(DataContractError, match="no labelled image"):
        cameras.labels((tmp_path, tmp_path / "new"))


def test_no_simulated_patient_is_in_two_sets_or_at_two_cameras() -> None:
    sets = [set(part) for one in POPULATIONS.values() for part in (one.labelled, one.unlabelled, one.traffic)]
    assert not any(one & other for one, other in combinations(sets, 2))
