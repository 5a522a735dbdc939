"""The disk under the outbox is full: answers go out, what could not be kept is counted, and with room it is kept."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1, 120, 160))
MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: run as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    with pytest.raises(OSError, match="No space left"), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)


@pytest.mark.parametrize("full_from_the_start", [False, True])
def test_answers_go_out_drops_are_counted_and_with_room_it_goes_on(
    small_disk: Path, tmp_path: Path, full_from_the_start: bool
) -> None:
    kit.promote(tmp_path / "state", kit.bundle(tmp_path / "bundle"), "1")
    ballast = small_disk / "ballast"
    receiver = kit.Receiver()
    outbox = str(small_disk / "outbox")
    if full_from_the_start:
        fill(ballast)
    with kit.segmenter(
        tmp_path, tmp_path / "state", PARFOCAL_MONITOR_URL=receiver.url, PARFOCAL_OUTBOX=outbox
    ) as service:

        def ask(count: int) -> list[str]:
            responses = [service.segment(PHOTO) for _ in range(count)]
            assert {response.status_code for response in responses} == {200}
            return [response.json()["request_id"] for response in responses]

        asked = ask(5)
        if not full_from_the_start:
            fill(ballast)
        asked += ask(60)
        lost = int(service.metric("parfocal_outbox_dropped_total"))
        # Some more lines fit into the last page of the journal that is there already; the shortest has 140 bytes.
        assert lost == 65 if full_from_the_start else 60 - 4096 // 140 <= lost <= 60
        assert service.client.get("/readyz").json()["outbox"]["dropping"]
        receiver.start()
        try:
            # What was kept can be delivered although a full disk lets nothing be deleted.
            kit.wait_for(lambda: len(receiver.received) == 65 - lost, report=service.output)
            kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0)
            assert receiver.received.keys() == set(asked[: 65 - lost])
            assert set(receiver.deliveries.values()) <= {1}
            ballast.unlink()
            kit.wait_for(lambda: set(ask(1)) and not service.client.get("/readyz").json()["outbox"]["dropping"])
            again = ask(5)
            kit.wait_for(lambda: set(again) <= receiver.received.keys(), report=service.output)
            assert set(receiver.deliveries.values()) == {1}
        finally:
            receiver.stop()
