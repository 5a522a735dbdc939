"""The monitor is away for 500 requests: nobody who asks notices, and afterwards it has all 500."""

import time
from pathlib import Path

import numpy as np
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1, 120, 160))


def test_500_requests_without_a_monitor_are_answered_as_fast_and_all_arrive_afterwards(tmp_path: Path) -> None:
    kit.promote(tmp_path / "state", kit.bundle(tmp_path / "bundle"), "1")
    receiver = kit.Receiver()
    with kit.segmenter(tmp_path, tmp_path / "state", PARFOCAL_MONITOR_URL=receiver.url) as service:

        def ask(count: int) -> tuple[set[str], list[float]]:
            ids, seconds = set(), []
            for _ in range(count):
                began = time.perf_counter()
                response = service.segment(PHOTO, instrument="A")
                seconds.append(time.perf_counter() - began)
                assert response.status_code == 200
                ids.add(response.json()["request_id"])
            return ids, seconds

        away, slow = ask(500)
        assert len(away) == 500
        assert service.metric("parfocal_outbox_dropped_total") == 0
        kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 500, 5)
        assert service.metric("parfocal_outbox_oldest_seconds") > 0
        assert "refused" in service.client.get("/readyz").json()["outbox"]["monitor"].lower()

        receiver.start()
        try:
            kit.wait_for(lambda: len(receiver.received) >= 500, 20, service.output)
            assert receiver.received.keys() == away
            assert set(receiver.deliveries.values()) == {1}
            assert max(receiver.batches) <= 500
            assert sorted(one["seq"] for one in receiver.received.values()) == list(range(1, 501))
            back, fast = ask(100)
            kit.wait_for(lambda: len(receiver.received) == 600, 20, service.output)
            assert receiver.received.keys() == away | back
            # A monitor that is away costs no more than one that answers; a try to reach it alone would take longer
            # than this, and so would a wait for it.
            assert np.median(slow) < 2 * np.median(fast) + 0.005
            kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0, 5)
            assert service.metric("parfocal_outbox_sent_total") == 600
        finally:
            receiver.stop()
