"""Mutated pictures: whatever comes in, the answer is a picture or a reason, and the memory stays what it was."""

import gc
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
import reader_kit
import serving_kit as kit
from parfocal_serving.segmenter import codecs
from parfocal_serving.segmenter.problems import RequestError

MOST = 1_000_000
LENGTHS = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff")
GROWTH = 60e6
"""Bytes that a process may keep of thousands of pictures: what allocators hold back, and no more for more of them."""


def encoded(kind: str) -> bytes:
    return cv2.imencode(f".{kind}", kit.picture(3, 96, 128))[1].tobytes()


def dicom(folder: Path, syntax: str) -> bytes:
    pixels = np.ascontiguousarray(kit.picture(3, 96, 128)[..., ::-1])
    return reader_kit.dicom(folder / "a.dcm", pixels, syntax, x0008_0060="OP").read_bytes()


def seeds(folder: Path) -> dict[str, bytes]:
    deep = cv2.imencode(".png", np.full((64, 80), 4000, np.uint16))[1].tobytes()
    made = {"jpeg": encoded("jpg"), "png": encoded("png"), "deep": deep, "tiff": encoded("tiff")}
    syntaxes = {"plain": reader_kit.PLAIN, "rle": reader_kit.RLE, "lossy": reader_kit.JPEG}
    return made | {name: dicom(folder, syntax) for name, syntax in syntaxes.items()}


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """The file with bytes changed, cut off, doubled, or joined to another's; mostly near its head, where sizes are."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(min(len(found), rng.choice((64, 1024, 1 << 30)))) if found else 0
        step: Callable[[], object] = rng.choice(
            (
                lambda at=at: found.__setitem__(slice(at, at + 1), bytes([rng.randrange(256)])),
                lambda at=at: found.__setitem__(slice(at, at + 4), rng.choice(LENGTHS)),
                lambda at=at: found.__setitem__(slice(at, at + 2), b"\xff\xff"),
                lambda at=at: found.__delitem__(slice(at, at + rng.randrange(1, 64))),
                lambda at=at: found.__setitem__(slice(at, at), bytes(found[at : at + rng.randrange(1, 256)])),
                lambda at=at: found.__delitem__(slice(at + 16, None)),
                lambda at=at: found.__setitem__(slice(at, None), rng.choice(others)[at:]),
            )
        )  # fmt: skip
        step()
    return bytes(found)


def decoded(data: bytes) -> int:
    """200, or the status of the refusal; anything else that is raised fails the test."""
    try:
        image = codecs.decode(data, MOST, "fundus").image
    except RequestError as error:
        return error.status
    assert image.shape[0] * image.shape[1] <= MOST
    return 200


def fuzz(number: int, folder: Path) -> Counter[int]:
    rng, made = random.Random(7), seeds(folder)
    for data in made.values():
        assert decoded(data) == 200
    process, files = psutil.Process(), list(made.values())
    found: Counter[int] = Counter()
    start = opened = 0
    for i in range(number):
        found[decoded(mutated(files[i % len(files)], rng, files))] += 1
        if i == number // 3:
            gc.collect()
            start, opened = process.memory_info().rss, process.num_fds()
    gc.collect()
    assert process.memory_info().rss - start < GROWTH
    assert process.num_fds() <= opened + 5, "files that were opened are closed"
    assert set(found) <= {200, 400, 413, 415}
    assert all(found[status] > number // 100 for status in (200, 400, 413, 415)), found
    return found


def test_a_thousand_mutated_pictures(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    fuzz(1000, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_pictures(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    fuzz(10_000, tmp_path)


def test_over_http_none_of_them_is_a_fault_of_the_server(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    rng, files = random.Random(11), list(seeds(tmp_path).values())
    kit.promote(tmp_path / "state", kit.bundle(tmp_path / "one"), "1")
    with kit.segmenter(tmp_path, tmp_path / "state", PARFOCAL_SEGMENTER_MEGAPIXELS="1") as service:
        found: Counter[int] = Counter()
        for i in range(300):
            form = {"instrument": "".join(chr(rng.randrange(0x250)) for _ in range(rng.randrange(8)))} if i % 3 else {}
            try:
                found[
                    service.segment(mutated(files[i % len(files)], rng, files), masks="none", **form).status_code
                ] += 1
            except httpx.TransportError as error:
                raise AssertionError(f"request {i} killed it: {error!r}\n{service.output()}") from error
        assert set(found) <= {200, 400, 413, 415}, found
        assert "Traceback" not in service.log.read_text()
        assert service.metric("parfocal_requests_total") == 300
        assert len(service.workers()) == 1
