"""What travels to the monitor beside the answer: the camera and never the patient; what the mirror says, and when."""

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import reader_kit
import serving_kit as kit
from parfocal_serving.segmenter import mirror

from parfocal.evaluation.metrics import dice
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import decode_image

PATIENT = "Erika Mustermann"
PHOTO = kit.jpeg(kit.picture())


def exif(**texts: str) -> bytes:
    """EXIF's first directory: ImageDescription, Make, Model, Artist, Copyright."""
    numbers = {"description": 0x010E, "make": 0x010F, "model": 0x0110, "artist": 0x013B, "copyright": 0x8298}
    at, entries, data = 8 + 2 + 12 * len(texts) + 4, b"", b""
    for name in sorted(texts, key=numbers.__getitem__):
        text = texts[name].encode() + b"\0"
        entries += struct.pack("<HHII", numbers[name], 2, len(text), at + len(data))
        data += text
    return b"II*\0" + struct.pack("<IH", 8, len(texts)) + entries + b"\0\0\0\0" + data


def tagged(jpeg: bytes, said: bytes) -> bytes:
    body = b"Exif\0\0" + said
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def receiver() -> Iterator[kit.Receiver]:
    found = kit.Receiver().start()
    yield found
    found.stop()


def told(running: SimpleNamespace, receiver: kit.Receiver, data: bytes, **fields: str) -> dict[str, Any]:
    """The observation of one request."""
    reply = running.http.post("/segment", files={"image": ("a", data)}, data=fields)
    assert reply.status_code == 200, reply.text
    request = reply.json()["request_id"]
    kit.wait_for(lambda: request in receiver.received)
    return dict(receiver.received[request])


def test_the_camera_travels_and_no_patient_does(
    folder: Path, receiver: kit.Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"0010|0010": "PN", "0010|0030": "DA", "0008|0080": "LO", "0008|0070": "LO", "0008|1090": "LO"}
    monkeypatch.setattr(reader_kit, "_VR", {**reader_kit._VR, **kinds, "0018|1000": "LO"})
    kit.promote(tmp_path, folder, "1")
    whose = {"description": PATIENT, "artist": PATIENT, "copyright": PATIENT}
    patient = {"x0010_0010": PATIENT, "x0010_0020": "PID-4711", "x0010_0030": "19500102", "x0008_0080": "Clinic"}
    camera = {"x0008_0070": "ZEISS", "x0008_1090": "CLARUS 500", "x0018_1000": "SN-99"}
    picture = np.ascontiguousarray(kit.picture()[..., ::-1])
    dicom = reader_kit.dicom(tmp_path / "eye.dcm", picture, x0008_0060="OP", **patient, **camera).read_bytes()
    with kit.in_process(tmp_path, open=True, token="", monitor_url=receiver.url, flips=0.0) as running:
        plain = told(running, receiver, PHOTO)["acquisition"]
        photo = told(running, receiver, tagged(PHOTO, exif(make="Topcon", model="TRC-50DX", **whose)))["acquisition"]
        of_dicom = told(running, receiver, dicom)["acquisition"]
    assert {name: photo[name] for name in photo if name not in plain} == {"make": "Topcon", "model": "TRC-50DX"}
    assert {name: of_dicom[name] for name in ("make", "model")} == {"make": "ZEISS", "model": "CLARUS 500"}
    assert set(of_dicom) - set(plain) == {"make", "model", "device"}
    assert not {"make", "model", "lens", "device"} & set(plain)
    travelled = json.dumps(receiver.received)
    assert not any(word in travelled for word in (PATIENT, "PID-4711", "19500102", "Clinic", "SN-99"))


def test_the_mirror_is_asked_after_the_answer_and_its_disagreement_travels(
    folder: Path, receiver: kit.Receiver, tmp_path: Path
) -> None:
    kit.promote(tmp_path, folder, "1")
    predictor, image = Predictor(folder), decode_image(PHOTO)
    found, mirrored = predictor.predict(image), predictor.predict(np.ascontiguousarray(image[:, ::-1]))
    by_hand = {f"{name}.flips": 1 - dice(mask, mirrored.masks[name][:, ::-1]) for name, mask in found.masks.items()}
    with kit.in_process(tmp_path, open=True, token="", monitor_url=receiver.url, flips=1.0) as running:
        shape = told(running, receiver, PHOTO)["shape"]
    assert {name: shape[name] for name in by_hand} == pytest.approx(by_hand)
    assert 0 < shape["disc.flips"] <= 1


@pytest.mark.parametrize(
    ("share", "busy", "asked"), [(1.0, False, 400), (0.25, False, 100), (0.0, False, 0), (1.0, True, 0)]
)
def test_a_share_of_the_answers_is_asked_and_none_while_others_wait(
    monkeypatch: pytest.MonkeyPatch, share: float, busy: bool, asked: int
) -> None:
    monkeypatch.setattr(mirror, "disagreement", lambda *_: {"disc.flips": 0.1})
    rng = np.random.default_rng(0)
    model: Any = SimpleNamespace(predictor=None)
    seen = [
        mirror.mirrored(model, kit.picture(), None, rng.bytes(16).hex(), "", share=share, busy=busy)  # type: ignore[arg-type]
        for _ in range(400)
    ]
    assert sum(map(bool, seen)) == pytest.approx(asked, abs=30 if 0 < asked < 400 else 0)


def test_a_model_that_fails_in_the_mirror_costs_the_observation_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> dict[str, float]:
        raise RuntimeError("the accelerator is gone")

    monkeypatch.setattr(mirror, "disagreement", broken)
    model: Any = SimpleNamespace(predictor=None)
    found: Any = None
    assert mirror.mirrored(model, kit.picture(), found, "0" * 32, "", share=1.0, busy=False) == {}


def test_nothing_is_kept_of_an_answer_that_nobody_waited_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.promote(tmp_path, folder, "1")
    go, done = threading.Event(), threading.Event()
    predict = Predictor.predict

    def slow(*given: Any) -> Any:
        go.wait(60)
        return predict(*given)

    with kit.in_process(tmp_path, open=True, token="", timeout=0.5) as running:
        segment = running.worker.segment

        def heard(*given: Any, **named: Any) -> Any:
            try:
                return segment(*given, **named)
            finally:
                done.set()

        monkeypatch.setattr(Predictor, "predict", slow)
        monkeypatch.setattr(running.worker, "segment", heard)
        assert running.http.post("/segment", files={"image": ("a", PHOTO)}).status_code == 504
        go.set()
        assert done.wait(60)
        assert running.worker.outbox.slot.pending == 0
