"""The service as a caller meets it: a real process, a real bundle of tiny networks."""

import base64
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import serving_kit as kit

from parfocal.core.observations import from_json
from parfocal.evaluation import glaucoma
from parfocal.inference.observe import describe
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import decode_image

PHOTO = kit.jpeg(kit.picture(1))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.bundle(tmp_path_factory.mktemp("bundle") / "one")


@pytest.fixture(scope="module")
def receiver() -> Iterator[kit.Receiver]:
    receiver = kit.Receiver().start()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def service(bundle: Path, receiver: kit.Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kit.Service]:
    work = tmp_path_factory.mktemp("service")
    kit.promote(work / "state", bundle, "7")
    with kit.segmenter(
        work,
        work / "state",
        PARFOCAL_MONITOR_URL=receiver.url,
        PARFOCAL_TOKEN="secret",
        PARFOCAL_CAPTURE="1",
        PARFOCAL_SEGMENTER_UPLOAD_MB="0.5",
        PARFOCAL_SEGMENTER_MEGAPIXELS="2",
    ) as running:
        yield running


def test_the_answer_is_what_the_predictor_says_in_process(service: kit.Service, bundle: Path) -> None:
    response = service.segment(PHOTO, instrument="A")
    assert response.status_code == 200, response.text
    answer = response.json()
    expected = Predictor(bundle).predict(decode_image(PHOTO))
    assert expected.masks["disc"].any(), "a bundle that finds nothing proves nothing"
    for name, mask in expected.masks.items():
        found = answer["structures"][name]
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(found["mask"]), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(picture, mask.astype(np.uint8) * 255)
        assert found["area"] == mask.sum()
        assert found["radius"] == pytest.approx(np.sqrt(mask.sum() / np.pi), abs=0.01)
        redrawn = cv2.drawContours(np.zeros(mask.shape, np.uint8), [np.array(found["contour"])], -1, 1, -1)
        np.testing.assert_array_equal(redrawn > 0, mask, "the networks' masks are one piece without holes")
    assert answer["cdr"] == pytest.approx(glaucoma.cdr(expected.masks["disc"], expected.masks["cup"]), abs=1e-4)
    assert answer["model"]["version"] == "7"
    assert answer["model"]["runtime"] == "openvino"
    assert answer["instrument"] == "A"
    assert set(answer["timing_ms"]) == {"decode", "segment", "encode", "observe", "total"}
    assert sum(answer["timing_ms"].values()) <= 2 * answer["timing_ms"]["total"] + 0.01


def test_the_monitor_is_told_what_was_seen_and_never_whose_eye_it_was(
    service: kit.Service, receiver: kit.Receiver, bundle: Path
) -> None:
    ids = [
        service.segment(PHOTO, instrument="A", patient=patient).json()["request_id"] for patient in ("Ada", "Ada", "")
    ]
    kit.wait_for(lambda: set(ids) <= receiver.received.keys(), report=service.output)
    first, second, nobody = (from_json(receiver.received[one]) for one in ids)
    image = decode_image(PHOTO)
    expected = describe(image, Predictor(bundle).predict(image))
    assert first.embedding == pytest.approx(expected.embedding, rel=1e-5)
    shape = {name: value for name, value in first.shape.items() if not name.endswith(".flips")}  # of one in ten
    assert shape == pytest.approx(expected.shape)
    assert first.acquisition == expected.acquisition
    assert (first.instrument, first.model_version, first.task) == ("A", "7", "fundus")
    assert first.patient_hmac == second.patient_hmac
    assert len(first.patient_hmac or "") == 64
    assert nobody.patient_hmac is None
    assert first.seq < second.seq < nobody.seq
    assert "Ada" not in str(receiver.received)
    assert receiver.bearers == {"Bearer secret"}


def test_a_captured_photograph_is_where_the_observation_says(service: kit.Service, receiver: kit.Receiver) -> None:
    request = service.segment(PHOTO).json()["request_id"]
    kit.wait_for(lambda: request in receiver.received, report=service.output)
    reference = receiver.received[request]["case_ref"]
    file = service.log.parent / "state" / reference
    assert reference.startswith("captured/fundus/")
    kit.wait_for(file.is_file)
    np.testing.assert_array_equal(cv2.imread(str(file)), decode_image(PHOTO))


def test_a_name_of_spaces_is_no_name(service: kit.Service) -> None:
    assert service.segment(PHOTO, instrument="  ").json()["instrument"] is None


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that claims `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def big_jpeg() -> bytes:
    """The header of a small JPEG, rewritten to claim 60000 x 60000."""
    data = bytearray(PHOTO)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


DEEP = cv2.imencode(".png", np.full((64, 64), 4000, np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", 415, "neither"),
        (b"GIF89a" + bytes(100), 415, "neither"),
        (bytes(1000), 415, "neither"),
        (PHOTO[: len(PHOTO) // 2], 400, "cut short"),
        (PHOTO[:3], 415, "neither"),
        (b"\xff\xd8\xff\xe0\xff\xff" * 40, 415, "neither"),
        (bomb(65535, 65535), 413, "65535 x 65535"),
        (bomb(100, 100), 400, "cut short"),
        (big_jpeg(), 413, "60000 x 60000"),
        (kit.jpeg(kit.picture(1)[:20, :20]), 400, "too few"),
        (DEEP, 400, "uint16"),
        (bytes(600_000), 413, "too large"),
    ],
    ids=["empty", "gif", "zeros", "truncated", "three-bytes", "endless-header", "png-bomb", "png-without-pixels",
         "jpeg-bomb", "tiny", "sixteen-bits", "too-many-bytes"],
)  # fmt: skip
def test_garbage_is_refused_with_a_reason(service: kit.Service, data: bytes, status: int, says: str) -> None:
    response = service.segment(data)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"what", "where", "expected", "next"}
    assert says in response.json()["error"]["what"]


@pytest.mark.parametrize(
    ("request_", "status", "where"),
    [
        ({"data": {"instrument": "A"}}, 415, ""),
        ({"json": {"image": "http://127.0.0.1:1/photo.jpg"}}, 415, ""),
        ({"files": {"photo": ("a.jpg", PHOTO)}}, 400, "image"),
        ({"files": {"image": (None, "http://127.0.0.1:1/photo.jpg")}}, 400, "image"),
        ({"files": {"image": ("a.jpg", PHOTO)}, "data": {"patient": "x" * 251}}, 400, "patient"),
        ({"files": {"image": ("a.jpg", PHOTO)}, "data": {"instrument": "A\nB"}}, 400, "instrument"),
        ({"files": {"image": ("a.jpg", PHOTO)}, "data": {"instrument": "x" * 5000}}, 400, ""),
        ({"content": b"--x\r\nno form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, ""),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, ""),
    ],
)
def test_a_request_that_is_no_photograph_is_refused_with_a_reason(
    service: kit.Service, request_: dict, status: int, where: str
) -> None:
    response = service.client.post("/segment", **request_)
    assert response.status_code == status, response.text
    assert response.json()["error"]["where"] == where


def test_an_upload_that_does_not_say_how_large_it_is_is_stopped_all_the_same(service: kit.Service) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield head
        for _ in range(20):
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert service.client.post("/segment", content=endless(), headers=headers).status_code == 413


def test_an_upload_that_is_broken_off_leaves_the_service_well(service: kit.Service) -> None:
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as caller:
        caller.sendall(b"POST /segment HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                       b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")  # fmt: skip
    assert service.segment(PHOTO).status_code == 200


def test_after_all_that_the_log_has_no_traceback_and_nothing_was_a_500(service: kit.Service) -> None:
    assert "Traceback" not in service.log.read_text()
    assert service.metric("parfocal_requests_total{status=5") == 0
    assert service.segment(PHOTO).status_code == 200


def test_a_photograph_turned_by_its_exif_tag_is_answered_upright(service: kit.Service) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = PHOTO[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + PHOTO[2:]
    mask = base64.b64decode(service.segment(turned).json()["structures"]["disc"]["mask"])
    assert struct.unpack(">II", mask[16:24]) == (240, 320), "width and height have changed places"


def test_requests_stages_and_the_model_are_counted(service: kit.Service, bundle: Path) -> None:
    before = service.metrics()
    service.segment(PHOTO)
    service.segment(b"")
    after = service.metrics()

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown("parfocal_requests_total{status=200,task=fundus,version=7}") == 1
    assert grown("parfocal_requests_total{status=415,task=fundus,version=7}") == 1
    assert grown("parfocal_request_seconds_count{task=fundus}") == 2
    for stage in ("decode", "segment", "encode", "observe"):
        assert grown(f"parfocal_stage_seconds_count{{stage={stage},task=fundus}}") == 1
    assert [v for k, v in after.items() if k.startswith("parfocal_model_info") and "version=7" in k] == [1]
    assert after["parfocal_outbox_dropped_total{task=fundus}"] == 0
    kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0)


def test_the_schema_names_the_route(service: kit.Service) -> None:
    assert "/segment" in service.client.get("/schema.json").json()["paths"]
    assert service.client.get("/livez").status_code == 200


def test_the_process_that_answers_has_no_torch_in_its_memory(service: kit.Service) -> None:
    (worker,) = service.workers()
    mapped = Path(f"/proc/{worker.pid}/maps").read_text()
    assert "openvino" in mapped, "this is the process that computes"
    assert "torch" not in mapped


def test_before_there_is_a_champion_it_says_so_and_then_it_answers(bundle: Path, tmp_path: Path) -> None:
    with kit.segmenter(tmp_path, tmp_path / "state", ready=False) as service:
        waiting = service.client.get("/readyz")
        assert waiting.status_code == 503
        assert waiting.json()["champion"] is None
        refused = service.segment(PHOTO)
        assert refused.status_code == 503
        assert "no champion" in refused.json()["error"]["what"]
        kit.promote(tmp_path / "state", bundle, "1")
        kit.wait_for(lambda: service.status() == 200, report=service.output)
        assert service.segment(PHOTO).status_code == 200
        detail = service.client.get("/readyz").json()
        assert detail["champion"]["version"] == "1"
        assert detail["outbox"]["pending"] == 1
        assert "nothing is sent" in detail["outbox"]["monitor"]


def test_a_worker_whose_parent_was_killed_does_not_hold_the_port(bundle: Path, tmp_path: Path) -> None:
    kit.promote(tmp_path / "state", bundle, "1")
    with kit.segmenter(tmp_path, tmp_path / "state") as service:
        (worker,) = service.workers()
        assert worker.parent() is not None
        worker.parent().kill()
        kit.wait_for(lambda: not worker.is_running(), report=service.output)
        with pytest.raises(httpx.TransportError):
            service.client.get("/livez")
