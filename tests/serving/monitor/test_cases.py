import csv
import multiprocessing
import os
import signal
import struct
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from monitor_kit import mask, photograph
from parfocal_serving.monitor import cases as module
from parfocal_serving.monitor.cases import CaseStore, NameTakenError, NewCase

from parfocal.core.errors import DataContractError
from parfocal.readers.folder import FolderReader


def case(number: int, **more: object) -> NewCase:
    values = {"image": photograph(number), "masks": {"disc": mask(15), "cup": mask(8)}, "patient": f"p{number}"}
    return NewCase(**{**values, "grader": "Ada", **more})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    return CaseStore(tmp_path, "fundus")


def scanned(folder: Path) -> dict[str, object]:
    scan = FolderReader().scan(folder, folder, task="fundus", instrument="B")
    assert scan.problems == ()
    return {found.patient: (sorted(found.masks), found.grader, found.assisted) for found in scan.cases}


def test_what_is_handed_in_is_what_the_reader_finds(store: CaseStore, tmp_path: Path) -> None:
    assert store.add("B", case(1))
    assert store.add("B", case(2, masks={"disc": mask()}, assisted=True, name="left eye"))
    assert store.add("B", case(3, masks={}, grader=""))
    folder = tmp_path / "labelled" / "fundus" / "B"
    assert scanned(folder) == {"p1": (["cup", "disc"], "Ada", False), "p2": (["disc"], "Ada", True)}
    scan = FolderReader().scan(folder, folder, task="fundus", instrument="B")
    assert [found.patient for found in scan.unlabelled] == ["p3"]
    assert (folder / "images" / "left eye.png").read_bytes() == photograph(2)
    assert store.labelled("B") == 2


def test_the_same_image_is_kept_once_also_after_a_restart_and_after_its_experience(tmp_path: Path) -> None:
    assert CaseStore(tmp_path, "fundus").add("B", case(1))
    again = CaseStore(tmp_path, "fundus")
    assert not again.add("B", case(1, patient="other", name="other"))
    again.close("B", 1)
    assert again.labelled("B") == 0
    assert not again.add("B", case(1))
    assert again.add("C", case(1)), "another instrument's is looked at when it is learned"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"image": b"GIF89a"}, "image"),
        ({"image": photograph(1)[:200]}, "image"),
        ({"masks": {"disc": mask(size=50)}}, "disc"),
        ({"masks": {"disc": mask(), "cup": b""}}, "cup"),
        ({"masks": {"disc": mask(radius=0, size=48)[:60]}}, "disc"),
        ({"masks": {"macula": mask()}}, "macula"),
        ({"patient": "  "}, "patient"),
        ({"name": "../../up"}, "name"),
    ],
)
def test_what_is_no_case_says_where_and_leaves_nothing(
    store: CaseStore, tmp_path: Path, wrong: dict[str, object], where: str
) -> None:
    with pytest.raises(DataContractError) as raised:
        store.add("B", case(1, **wrong))
    assert raised.value.where == where
    assert not (tmp_path / "labelled").exists()


def huge(kind: str) -> bytes:
    """A file of some hundred bytes that claims 60000 x 60000 pixels."""
    data = bytearray(cv2.imencode(kind, np.zeros((48, 48, 3), np.uint8))[1].tobytes())
    if kind == ".png":
        data[16:24] = struct.pack(">II", 60000, 60000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == ".jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 60000, 60000)
    else:
        (start,) = struct.unpack_from("<I", data, 4)
        for entry in range(start + 2, start + 2 + 12 * data[start], 12):
            if struct.unpack_from("<H", data, entry)[0] in (256, 257):
                struct.pack_into("<HII", data, entry + 2, 4, 1, 60000)
    return bytes(data)


@pytest.mark.parametrize(
    ("field", "data"),
    [*(("image", huge(kind)) for kind in (".png", ".jpg", ".tif")), ("disc", huge(".png"))],
    ids=["png", "jpeg", "tiff", "mask"],
)
def test_a_small_file_that_claims_too_many_pixels_is_never_decoded(
    store: CaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, data: bytes
) -> None:
    image, masks = (data, {}) if field == "image" else (photograph(1), {"disc": data})
    decoded: list[bytes] = []
    monkeypatch.setattr(module, "decode_mask", decoded.append)
    if field == "image":
        monkeypatch.setattr(module, "decode_image", decoded.append)
    with pytest.raises(module.TooLargeError, match="60000 x 60000") as raised:
        store.add("B", case(1, image=image, masks=masks))
    assert (raised.value.where, decoded) == (field, [])
    assert not (tmp_path / "labelled").exists()


def test_a_mask_of_another_format_is_not_even_looked_at(store: CaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "decode_mask", None)
    drawn = cv2.imencode(".bmp", np.full((48, 48), 255, np.uint8))[1].tobytes()
    with pytest.raises(DataContractError, match="no PNG"):
        store.add("B", case(1, masks={"disc": drawn}))


@pytest.mark.parametrize("name", ["..", "a/b", ".hidden", "", "x" * 101, "a\0"])
def test_an_instrument_whose_name_is_no_folder_is_refused(store: CaseStore, name: str) -> None:
    with pytest.raises(DataContractError, match="instrument"):
        store.add(name, case(1))
    assert store.labelled(name) == 0


def test_a_name_belongs_to_one_image(store: CaseStore) -> None:
    store.add("B", case(1, name="one"))
    with pytest.raises(NameTakenError):
        store.add("B", case(2, name="ONE"))
    assert store.labelled("B") == 1


def test_cases_that_a_person_put_into_the_folder_stay_readable(store: CaseStore, tmp_path: Path) -> None:
    folder = tmp_path / "labelled" / "fundus" / "B"
    for name, data in (("images", photograph(9)), ("disc", mask())):
        (folder / name).mkdir(parents=True)
        (folder / name / "by-hand.png").write_bytes(data)
    assert store.labelled("B") == 1
    store.add("B", case(1))
    assert set(scanned(folder)) == {"by-hand", "p1"}
    assert store.labelled("B") == 2


def test_an_experience_closes_once_and_later_cases_belong_to_the_next(store: CaseStore, tmp_path: Path) -> None:
    store.add("B", case(1))
    assert store.next_number("B") == 1
    first = store.close("B", 1)
    store.add("B", case(2))
    assert store.close("B", 1) == first
    assert set(scanned(first)) == {"p1"}
    assert store.next_number("B") == 2
    assert set(scanned(store.close("B", 2))) == {"p2"}
    with pytest.raises(DataContractError, match="no labelled cases"):
        store.close("B", 3)


def test_a_list_of_cases_keeps_what_a_person_wrote_into_it(store: CaseStore, tmp_path: Path) -> None:
    store.add("B", case(1, name="one"))
    table = tmp_path / "labelled" / "fundus" / "B" / "cases.csv"
    table.write_text(table.read_text().replace("p1", "p1 corrected"))
    store.add("B", case(2))
    with table.open() as stream:
        assert [row["patient"] for row in csv.DictReader(stream)] == ["p1 corrected", "p2"]


def die_at(state: Path, write: int) -> None:
    """Hand a case in and be killed at the given atomic write."""
    real, count = module.write_atomic, [0]

    def deadly(file: Path, data: bytes | str) -> None:
        count[0] += 1
        if count[0] == write:
            os.kill(os.getpid(), signal.SIGKILL)
        real(file, data)

    module.write_atomic = deadly
    CaseStore(state, "fundus").add("B", case(2))


@pytest.mark.parametrize("write", range(1, 6))
def test_a_kill_while_a_case_is_written_leaves_no_half_of_it(tmp_path: Path, write: int) -> None:
    CaseStore(tmp_path, "fundus").add("B", case(1))
    child = multiprocessing.get_context("fork").Process(target=die_at, args=(tmp_path, write))
    child.start()
    child.join(180)
    assert child.exitcode == -signal.SIGKILL
    again = CaseStore(tmp_path, "fundus")
    if write % 2:
        assert again.add("B", case(2)), "what was not answered is handed in again"
    else:
        again.add("B", case(3))
    assert set(scanned(again.close("B", 1))) == {"p1", "p2" if write % 2 else "p3"}


def test_a_case_is_five_writes(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=die_at, args=(tmp_path, 6))
    child.start()
    child.join(180)
    assert child.exitcode == 0


def test_an_experience_that_is_closed_while_somebody_counts_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is renamed between two looks at it."""
    store = CaseStore(tmp_path, "fundus")
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    assert (store.labelled("B"), store.purposes("B"), store.names("B")) == (0, Counter(), set())
