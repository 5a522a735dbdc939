"""A champion that cannot answer: both workers go on with the one they have, say so, and take the next good one."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving_kit as kit

from parfocal.core import manifest

PHOTO = kit.jpeg(kit.picture(1))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    kit.promote(folder / "state", kit.bundle(folder / "good", 1), "1")
    return folder


@pytest.fixture(scope="module")
def service(work: Path) -> Iterator[kit.Service]:
    with kit.segmenter(work, work / "state", PARFOCAL_SEGMENTER_WORKERS="2") as running:
        kit.wait_for(
            lambda: len(re.findall("champion 1 answers", running.log.read_text())) == 2, kit.READY, running.output
        )
        yield running


def truncated(good: Path, folder: Path) -> Path:
    """Sealed well, but its export is cut short: only loading finds that out."""
    shutil.copytree(good, folder)
    export = folder / "disc" / "openvino.bin"
    export.write_bytes(export.read_bytes()[: export.stat().st_size // 2])
    (folder / manifest.MANIFEST).unlink()
    manifest.seal(folder, "bundle")
    return folder


def poisoned(_: Path, folder: Path) -> Path:
    """It loads, and then every number of it is not one: only warming finds that out."""
    return kit.bundle(folder, 3, shift=float("nan"))


def altered(good: Path, folder: Path) -> Path:
    """Changed after it was sealed."""
    shutil.copytree(good, folder)
    with (folder / "cup" / "openvino.bin").open("ab") as stream:
        stream.write(b"x")
    return folder


def missing(good: Path, folder: Path) -> Path:
    """Named, and gone before anybody read it."""
    shutil.copytree(good, folder)
    return folder


@pytest.mark.parametrize(
    ("version", "breaker", "says"),
    [
        ("2", truncated, "disc"),
        ("3", poisoned, "no numbers"),
        ("4", altered, "changed since it was sealed"),
        ("5", missing, "no manifest"),
    ],
)
def test_the_old_champion_answers_on_in_both_workers(
    service: kit.Service, work: Path, version: str, breaker, says: str
) -> None:
    folder = breaker(work / "good", work / version)
    before = service.segment(PHOTO).json()["structures"]
    kit.promote(work / "aside", folder, version)
    if breaker is missing:
        shutil.rmtree(folder)
    here = Path("serving") / "fundus" / "current.json"
    (work / "aside" / here).replace(work / "state" / here)
    counter = f"parfocal_champion_rejected_total{{task=fundus,version={version}}}"
    kit.wait_for(lambda: service.metrics().get(counter) == 2, report=service.output)
    for _ in range(6):
        answer = kit.httpx.post(f"{service.url}/segment", files={"image": ("a.jpg", PHOTO)}, timeout=30)
        assert answer.status_code == 200
        assert answer.json()["model"]["version"] == "1"
        assert answer.json()["structures"] == before
    ready = service.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["rejected"]["version"] == version
    assert says in ready.json()["rejected"]["reason"]
    assert service.metrics()[counter] == 2, "it is not tried again"


def test_the_next_good_champion_is_taken(service: kit.Service, work: Path) -> None:
    kit.promote(work / "state", kit.bundle(work / "better", 2), "6")
    kit.wait_for(lambda: service.metric("parfocal_swaps_total") == 2, report=service.output)
    assert service.segment(PHOTO).json()["model"]["version"] == "6"
    assert service.client.get("/readyz").json()["rejected"] is None
