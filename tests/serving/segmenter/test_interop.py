"""What /segment says in the formats of other programs, in process: DICOM SEG, NIfTI slices, batches, indicators."""

import asyncio
import base64
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import httpx
import interop_kit
import numpy as np
import pytest
import reader_kit
import serving_kit as kit
import SimpleITK as sitk
from parfocal_serving.segmenter import expected, forms, nifti_upload, schemas, web
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.running import Running
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker

from parfocal.client.answers import segmented
from parfocal.core import manifest
from parfocal.core.types import Observation
from parfocal.core.volumes import open_volume, to_uint16
from parfocal.drift.reference import DriftConfig, fit
from parfocal.inference.predictor import Predictor

hd = pytest.importorskip("highdicom", reason="needs parfocal[dicom]")

PHOTO = kit.picture(1, 120, 160)
Post = Any


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    work = tmp_path_factory.mktemp("interop")
    kit.promote(work, kit.bundle(work / "bundle", 4), "7")
    worker = Worker(SegmenterSettings(PARFOCAL_STATE=work, PARFOCAL_SEGMENTER_UPLOAD_MB=1))
    worker.champions.check()
    yield worker
    worker.pools.stop()
    worker.outbox.close()


@pytest.fixture
def post(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setattr(Running, "worker", worker, raising=False)

    async def send(*images: bytes, headers: dict[str, str] | None = None, **texts: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web.app), base_url="http://test") as client:
            files = [("image", ("picture", image)) for image in images]
            return await client.post("/segment", files=files, data=texts, headers=headers)

    def wait(*images: bytes, **more: Any) -> httpx.Response:
        return asyncio.run(send(*images, **more))

    return wait


def dicom(folder: Path, **changes: str | None) -> bytes:
    """The photograph as an ophthalmic object of a left eye."""
    tags = {"x0008_0060": "OP", "x0010_0020": "PATIENT-4711", "x0020_0062": "L", **changes}
    return reader_kit.dicom(folder / "eye.dcm", np.ascontiguousarray(PHOTO[..., ::-1]), **tags).read_bytes()


def drawn(answer: dict[str, Any], name: str) -> np.ndarray:
    runs = answer["structures"][name]["rle"]
    inside = np.repeat(np.arange(len(runs["counts"])) % 2 == 1, runs["counts"])
    return inside.reshape(runs["size"][::-1]).T


def test_a_dicom_photograph_is_answered_with_a_dicom_segmentation_of_the_same_masks(post: Post, tmp_path: Path) -> None:
    data = dicom(tmp_path)
    answer = post(data, masks="dicom-seg").json()
    schemas.Segmentation.model_validate(answer)
    assert segmented(answer).dicom_seg[128:132] == b"DICM"
    assert "mask" not in answer["structures"]["disc"]
    whole = hd.seg.segread(io.BytesIO(base64.b64decode(answer.pop("dicom_seg"))))
    assert "PATIENT-4711" not in str(answer), "whose eye it is stands in the object alone"
    assert whole.PatientID == "PATIENT-4711"
    plain = post(data, masks="rle").json()
    alone = post(data, headers={"Accept": "application/dicom"})
    assert alone.headers["content-type"] == "application/dicom"
    for made in (whole, hd.seg.segread(io.BytesIO(alone.content))):
        uid = made.SourceImageSequence[0].ReferencedSOPInstanceUID
        back = made.get_pixels_by_source_instance([uid])[0]
        for place, name in enumerate(("disc", "cup")):
            np.testing.assert_array_equal(back[..., place] > 0, drawn(plain, name))
    assert whole.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "7"


def test_dicom_segmentations_need_a_dicom_picture_that_can_be_referred_to(post: Post, tmp_path: Path) -> None:
    photo = post(kit.jpeg(PHOTO), masks="dicom-seg")
    assert (photo.status_code, photo.json()["error"]["where"]) == (400, "masks")
    lacking = post(dicom(tmp_path, x0020_000d=None), masks="dicom-seg")
    assert lacking.status_code == 400
    assert "StudyInstanceUID" in lacking.json()["error"]["what"]
    assert "PATIENT" not in lacking.text


def test_a_known_eye_gets_isnt_by_form_or_by_tag(post: Post, tmp_path: Path, worker: Worker) -> None:
    unknown, left = post(kit.jpeg(PHOTO)).json(), post(dicom(tmp_path)).json()
    assert (unknown["eye"], unknown["isnt"], unknown["glaucoma"]) == (None, None, None)
    right = post(dicom(tmp_path), eye="right").json()
    assert (left["eye"], right["eye"]) == ("left", "right")
    assert left["isnt"]["nasal"] == right["isnt"]["temporal"] != left["isnt"]["temporal"]
    assert left["isnt"]["inferior"] == right["isnt"]["inferior"]
    assert set(left["glaucoma"]["readings"]) == {"cdr", "vertical_cdr", "isnt"}
    schemas.Segmentation.model_validate(left)
    read = segmented(left)
    assert read.isnt is not None
    assert (read.isnt.nasal, read.isnt.follows, read.eye) == (left["isnt"]["nasal"], left["isnt"]["follows"], "left")
    assert read.predicted_dice == {"disc": None, "cup": None}
    assert unknown["predicted_dice"] == {"disc": None, "cup": None}, "there is no reference"
    assert post(kit.jpeg(PHOTO), eye="third").status_code == 400


def test_a_batch_answers_each_picture_as_if_alone_and_keeps_the_order(post: Post) -> None:
    other = kit.jpeg(kit.picture(2, 100, 140))
    found = post(kit.jpeg(PHOTO), b"no picture", other, masks="rle").json()
    schemas.Batch.model_validate(found)
    first, wrong, last = found["answers"]
    assert (wrong["status"], wrong["error"]["where"]) == (415, "image")
    assert [first["structures"]["disc"], last["structures"]["disc"]] == [
        post(one, masks="rle").json()["structures"]["disc"] for one in (kit.jpeg(PHOTO), other)
    ]
    assert first["request_id"] != last["request_id"]
    assert post(*[other] * (forms.MOST_PICTURES + 1)).status_code == 400
    assert post(other, other, headers={"Accept": "application/dicom"}).status_code == 400


def nifti(folder: Path, made: sitk.Image, name: str = "ct.nii.gz") -> bytes:
    return reader_kit.save(folder / name, made).read_bytes()


def cut(data: bytes, task: str = "bone", plane: Any = "acquired", number: int | None = None) -> Any:
    return nifti_upload.decode(data, task, forms.Cut(plane, number), lambda size: None)


@pytest.mark.parametrize("turn", [0.0, 20.0, 90.0])
@pytest.mark.parametrize("plane", ["acquired", "axial", "coronal", "sagittal"])
def test_a_slice_of_a_nifti_volume_is_the_one_that_the_reader_cuts(tmp_path: Path, plane: Any, turn: float) -> None:
    made = reader_kit.image(reader_kit.hu(3), turn=turn)
    data = nifti(tmp_path, made)
    volume = open_volume(tmp_path / "ct.nii.gz", plane)
    number = len(volume.array) - 1
    pixels, spacing, _, place = cut(data, plane=plane, number=number)
    np.testing.assert_array_equal(pixels, to_uint16(volume.array, "ct")[number])
    assert spacing == pytest.approx(volume.spacing[1:])
    assert (place["plane"], place["slices"]) == (volume.plane, len(volume.array))
    row, column = 3, 2
    at = np.array(place["origin"]) + row * np.array(place["rows"]) + column * np.array(place["columns"])
    index = made.TransformPhysicalPointToIndex(at.tolist())
    assert int(made[index]) == int(pixels[row, column]) - 1024, "a pixel's place leads to its voxel"
    assert cut(gzip.decompress(data), plane=plane, number=number)[1] == spacing


def test_one_slice_alone_needs_no_number_whatever_its_plane(tmp_path: Path) -> None:
    upright = reader_kit.image(reader_kit.hu(0, (24, 1, 32)), spacing=(1, 1, 1))
    pixels, _, _, place = cut(nifti(tmp_path, upright))
    assert (place["plane"], place["slices"], pixels.shape) == ("coronal", 1, (24, 32))


def head(**changes: tuple[int, bytes]) -> bytes:
    made = bytearray(sitk_bytes())
    for at, data in changes.values():
        made[at : at + len(data)] = data
    return bytes(made)


def sitk_bytes() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return nifti(Path(folder), reader_kit.image(reader_kit.hu(0)), "ct.nii")


def words(*numbers: int) -> bytes:
    return np.array(numbers, "<i2").tobytes()


BOMB = gzip.compress(head(dims=(40, words(3, 512, 512, 4000))) + bytes(6_000_000), mtime=0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (BOMB, 413),
        (head(dims=(40, words(3, 32767, 32767, 32767))), 413),
        (head(dims=(40, words(3, 32, -24, 5))), 400),
        (head(dims=(40, words(4, 32, 24, 5, 2))), 400),
        (head(dims=(40, words(2, 32, 24))), 400),
        (head(kind=(70, words(128, 24))), 400),
        (head(offset=(108, np.float32(np.nan).tobytes())), 400),
        (head(offset=(108, np.float32(1e9).tobytes())), 400),
        (head(sform=(252, words(0, 0))), 400),
        (head(pixdim=(84, np.float32(np.nan).tobytes())), 400),
        (head(offset=(308, np.float32(np.inf).tobytes())), 400),
        (head()[:-100], 400),
        (gzip.compress(head(), mtime=0)[:-2000], 400),
        (gzip.compress(b"something else" * 100, mtime=0), 415),
        (b"\x1f\x8b" + bytes(100), 400),
    ],
)  # fmt: skip
def test_what_is_no_slice_is_refused_before_it_is_unpacked(data: bytes, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        nifti_upload.decode(data, "bone", forms.Cut(), lambda size: None)
    assert refused.value.status == status


def test_a_volume_needs_to_be_told_which_slice_and_a_photograph_has_none(post: Post, tmp_path: Path) -> None:
    data = nifti(tmp_path, reader_kit.image(reader_kit.hu(0)))
    for number in (None, 5):
        with pytest.raises(RequestError, match="axial slices"):
            cut(data, number=number)
    with pytest.raises(RequestError, match="below 0 HU"):
        cut(nifti(tmp_path, reader_kit.image(np.abs(reader_kit.hu(0)))), number=0)
    assert post(data).status_code == 415, "the task is for photographs"
    assert post(kit.jpeg(PHOTO), slice="3").status_code == 400
    assert post(data, plane="oblique").status_code == 400


def test_extensions_of_a_header_are_left_behind(tmp_path: Path) -> None:
    plain = sitk_bytes()
    told = np.array([64, 4], "<i4").tobytes() + b"WHOSE HEAD THIS IS".ljust(56, b"\0")
    extended = bytearray(plain[:348] + b"\1\0\0\0" + told + plain[352:])
    extended[108:112] = np.float32(416).tobytes()
    np.testing.assert_array_equal(cut(bytes(extended), number=2)[0], cut(plain, number=2)[0])
    assert b"WHOSE" not in nifti_upload._alone(bytes(extended), nifti_upload._header(bytes(extended[:1024])))
    assert cv2.imencode(".png", cut(plain, number=2)[0])[0]


def bone(folder: Path) -> Champion:
    made = interop_kit.bone(folder)
    return Champion("bone", "3", manifest.read(made, "bundle").checksum, "", "openvino", Predictor(made))


def test_a_ct_slice_is_answered_in_its_own_pixels(tmp_path: Path) -> None:
    settings = SegmenterSettings(PARFOCAL_STATE=tmp_path, PARFOCAL_TASK="bone")
    worker = Worker(settings)
    try:
        made = reader_kit.image(reader_kit.hu(0, (3, 40, 56)))
        data, champion = nifti(tmp_path, made), bone(tmp_path)
        body = worker.segment(champion, data, None, None, 0.0, "rle", more=forms.More(cut=forms.Cut("axial", 1))).body
        answer = json.loads(body)
        schemas.Segmentation.model_validate(answer)
        volume = open_volume(tmp_path / "ct.nii.gz", "axial")
        expected = champion.predictor.predict(to_uint16(volume.array, "ct")[1]).masks["bone"]
        np.testing.assert_array_equal(drawn(answer, "bone"), expected)
        assert answer["spacing_mm"] == pytest.approx([0.8, 0.7])
        assert answer["structures"]["bone"]["area_mm2"] == pytest.approx(0.56 * expected.sum(), rel=1e-4)
        assert answer["slice"]["number"] == 1
        with pytest.raises(RequestError, match="are too many"):
            Worker.segment(_tight(worker), champion, data, None, None, 0.0, more=forms.More(cut=forms.Cut("axial", 1)))
    finally:
        worker.pools.stop()
        worker.outbox.close()


def _tight(worker: Worker) -> Worker:
    worker.settings = worker.settings.model_copy(update={"megapixels": 0.001})
    return worker


CAMERA = DriftConfig(arl0=500, streams=("appearance", "framing"))


def observations(count: int, shift: float = 0.0, seed: int = 0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    field = {"field.area": 0.75, "field.width": 1.0, "field.height": 1.0}
    return [
        Observation(
            f"{seed}-{i}", "fundus", "A", "1", "", i, 0.0, tuple((rng.normal(size=8) + shift).tolist()),
            {"disc.x": 0.5 + 0.01 * float(rng.normal()), "disc.y": 0.5, "disc.radius": float(rng.uniform(0.08, 0.12))},
            field,
        )
        for i in range(count)
    ]  # fmt: skip


def test_predicted_dice_and_what_is_out_of_range_come_from_the_reference_of_the_model_that_answers(
    tmp_path: Path,
) -> None:
    seen = {"A": observations(150)}
    dice = {("A", one.id): {"disc": 0.9 - 0.01 * (i % 7)} for i, one in enumerate(seen["A"])}
    fitted = fit(seen, CAMERA, extractor="x", seed=0, dice=dice)
    fitted.write(tmp_path / "reference.npz")
    model = Champion("fundus", "1", "aa", "some", "openvino", cast(Predictor, None), tmp_path)
    held = expected.Expected()
    reference = held.of(model)
    assert reference is not None
    assert held.of(model) is reference, "read once"
    new = observations(1, seed=5)[0]
    wanted = fitted.quality["disc"].cases(fitted.features("A", [new]))[0]
    told = expected.predicted(reference, new)["disc"]
    assert told is not None
    interval = (wanted.estimate, wanted.low, wanted.high)
    assert (told["dice"], told["lower"], told["upper"]) == pytest.approx(interval, abs=1e-4)
    assert told["lower"] <= told["dice"] <= told["upper"]
    assert expected.out_of_range(reference, new) == []
    assert expected.out_of_range(reference, observations(1, 9.0)[0]) == ["appearance"]
    assert held.of(replace(model, folder=tmp_path / "gone", reference_id="other")) is None
    assert held.of(replace(model, reference_id="")) is None
    assert expected.predicted(None, new) == {}
