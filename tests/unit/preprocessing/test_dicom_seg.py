"""DICOM Segmentation objects, read back by highdicom and compared with the masks bit by bit."""

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import reader_kit as kit

from parfocal.core.errors import DataContractError
from parfocal.core.task import TASKS

pytest.importorskip("highdicom", reason="needs parfocal[dicom]")
import highdicom as hd
import pydicom

from parfocal.preprocessing.exchange import codes, dicom_seg

AUTHOR = dicom_seg.Author("fundus", "7", "ab" * 32)
PERSON = {"PatientName": "Lovelace^Ada", "PatientSex": "F", "StudyID": "S1", "AccessionNumber": "A9"}


def photo(folder: Path, **changes: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    return changed(kit.dicom(folder / "photo.dcm", pixels, x0008_0060="OP"), **changes)


def changed(file: Path, **changes: object) -> bytes:
    """A file with attributes set, or removed where they are None."""
    one = pydicom.dcmread(file)
    for name, value in changes.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    one.save_as(file)
    return file.read_bytes()


def masks(shape: tuple[int, ...], *names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.random(shape) > 0.5 + 0.1 * number for number, name in enumerate(names)}


def test_a_photograph_gets_overlapping_coded_segments_and_its_own_patient(tmp_path: Path) -> None:
    source = dicom_seg.read(photo(tmp_path, **PERSON))
    drawn = masks((1, 60, 80), "disc", "cup")
    made = hd.seg.segread(io.BytesIO(dicom_seg.build([source], drawn, AUTHOR)))
    back = made.get_pixels_by_source_instance([source.SOPInstanceUID])
    np.testing.assert_array_equal(back, np.stack(list(drawn.values()), -1))
    assert {name: str(made.get(name)) for name in PERSON} == PERSON
    assert (made.PatientID, made.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert "FrameOfReferenceUID" not in made
    disc, cup = (made.get_segment_description(number) for number in (1, 2))
    assert (disc.segmented_property_type.value, disc.segmented_property_type.scheme_designator) == ("81016008", "SCT")
    assert cup.segmented_property_type.scheme_designator == codes.SCHEME
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.SCHEME
    assert (disc.SegmentAlgorithmName, disc.algorithm_identification.version) == ("Parfocal fundus", "7")


def test_slices_of_a_series_get_one_object_in_their_frame_of_reference(tmp_path: Path) -> None:
    kit.series(tmp_path / "ct", kit.hu(0))
    files = sorted((tmp_path / "ct").iterdir())
    sources = [dicom_seg.read(changed(file, FrameOfReferenceUID="1.2.77")) for file in files]
    drawn = masks((5, 24, 32), "bone")
    drawn["bone"][2] = False
    made = hd.seg.segread(io.BytesIO(dicom_seg.build(sources, drawn, AUTHOR)))
    uids = [one.SOPInstanceUID for one in sources]
    back = made.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(back[..., 0], drawn["bone"])
    assert made.NumberOfFrames == 4, "the slice that shows none is left out"
    assert made.FrameOfReferenceUID == "1.2.77"
    places = [one.PlanePositionSequence[0].ImagePositionPatient for one in made.PerFrameFunctionalGroupsSequence]
    assert sorted(place[2] for place in places) == [40, 43, 49, 52]


def test_nothing_found_is_an_object_too(tmp_path: Path) -> None:
    source = dicom_seg.read(photo(tmp_path))
    nothing = {"disc": np.zeros((1, 60, 80), bool)}
    made = hd.seg.segread(io.BytesIO(dicom_seg.build([source], nothing, AUTHOR)))
    assert not made.get_pixels_by_source_instance([source.SOPInstanceUID]).any()


@pytest.mark.parametrize("name", dicom_seg.TWO)
def test_what_may_be_empty_is_empty_where_the_source_lacks_it(tmp_path: Path, name: str) -> None:
    data = photo(tmp_path, **{name: ""})
    source = dicom_seg.read(changed(tmp_path / "photo.dcm", **{name: None}))
    for one in (source, dicom_seg.read(data)):
        made = pydicom.dcmread(io.BytesIO(dicom_seg.build([one], masks((1, 60, 80), "disc"), AUTHOR)))
        assert not made[name].value


def test_a_source_that_nothing_can_refer_to_is_refused_by_name(tmp_path: Path) -> None:
    source = dicom_seg.read(photo(tmp_path, StudyInstanceUID=None))
    with pytest.raises(DataContractError, match="without StudyInstanceUID"):
        dicom_seg.build([source], masks((1, 60, 80), "disc"), AUTHOR)
    with pytest.raises(DataContractError, match="not as large"):
        dicom_seg.build([dicom_seg.read(photo(tmp_path))], masks((1, 60, 79), "disc"), AUTHOR)
    with pytest.raises(DataContractError, match="several frames"):
        dicom_seg.refuse_lacking(dicom_seg.read(photo(tmp_path, NumberOfFrames=3)))
    kit.series(tmp_path / "ct", kit.hu(0))
    slices = [dicom_seg.read(file.read_bytes()) for file in sorted((tmp_path / "ct").iterdir())]
    with pytest.raises(DataContractError, match="frame of reference"):
        dicom_seg.build(slices, masks((5, 24, 32), "bone"), AUTHOR)


SILENT = """
import sys
from pathlib import Path
import numpy as np
from parfocal.core.errors import DataContractError
from parfocal.preprocessing.exchange import dicom_seg
for file in sys.argv[1:]:
    try:
        dicom_seg.build([dicom_seg.read(Path(file).read_bytes())], {"disc": np.ones((1, 60, 80), bool)},
                        dicom_seg.Author("fundus", "7", "ab"))
        print("written")
    except DataContractError as error:
        print(error)
"""


def test_a_tag_that_no_reader_takes_is_neither_quoted_nor_warned_of(tmp_path: Path) -> None:
    files = []
    for name, value in {
        "PatientSex": "HUSH",
        "StudyDate": "HUSH",
        "PatientName": "H=U=HUSH=5=6=7",
        "PatientBirthDate": "HUSH",
    }.items():
        file = tmp_path / f"{name}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file.write_bytes(photo(tmp_path, **{name: value}))
        assert b"HUSH" in file.read_bytes()
        files.append(str(file))
    done = subprocess.run([sys.executable, "-c", SILENT, *files], capture_output=True, text=True, check=True)
    assert "HUSH" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("written"), "a sex that DICOM does not know is left empty"


@pytest.mark.parametrize("data", [b"", b"\0" * 400, bytes(128) + b"DICM" + b"\xff" * 50])
def test_what_is_no_dicom_is_refused(data: bytes) -> None:
    with pytest.raises(DataContractError):
        dicom_seg.refuse_lacking(dicom_seg.read(data))


def test_every_structure_of_every_task_has_a_code() -> None:
    assert {name for task in TASKS.values() for name in task.names} <= set(codes.STRUCTURES)
