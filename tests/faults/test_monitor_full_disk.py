"""The disk under the monitor's database is full: nothing is half stored or forgotten, and it goes on with room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from monitor_kit import observation, promote, stream, wire
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.settings import MonitorSettings
from starlette.testclient import TestClient


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2097152", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    with pytest.raises(OSError, match="No space left"), file.open("wb", buffering=0) as written:
        while True:
            written.write(b"x" * 4096)


def test_a_post_that_finds_no_room_is_refused_whole_and_taken_once_when_there_is_some(
    small_disk: Path, tmp_path: Path
) -> None:
    id_ = promote(tmp_path)
    settings = MonitorSettings(
        state=tmp_path, token="", open=True, database_url=f"sqlite:///{small_disk / 'monitor.db'}"
    )
    batches = [wire([observation(10 * n + i, at=0.5, reference=id_) for i in range(10)]) for n in range(30)]
    with TestClient(build(settings), base_url="http://127.0.0.1:8081", client=("127.0.0.1", 1)) as monitor:
        assert monitor.post("/observations", json=batches[0]).json()["accepted"] == 10
        fill(small_disk / "ballast")
        taken = [monitor.post("/observations", json=batch).status_code for batch in batches[1:]]
        assert {200, 503} >= set(taken)
        assert taken[-1] == 503
        state = monitor.get("/api/state").json()
        assert (state["observations"], stream(state, "A")["observations"]) == (10 + 10 * taken.count(200),) * 2
        (small_disk / "ballast").unlink()
        again = [monitor.post("/observations", json=batch).json() for batch in batches]
        assert sum(one["accepted"] for one in again) == 300 - state["observations"]
        state = monitor.get("/api/state").json()
        assert (state["observations"], stream(state, "A")["observations"]) == (300, 300)
