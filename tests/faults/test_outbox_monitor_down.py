"""The monitor is away for 500 requests: nobody who asks notices, and afterwards it has all 500."""

import time
from pathlib import Path

import numpy as np
import serving_kit as kit

PHOTO = kit.jpeg(kit.picture(1, 120, 160))


def test_500_requests_without_a_monitor_are_answered_as_fast_and_all_arrive_afterwards(tmp_path: Path) -> None:
    bundle = kit.bundle(tmp_path / "bundle")
    for name in ("state", "state-2"):
        kit.promote(tmp_path / name, bundle, "1")
    receiver, there = kit.Receiver(), kit.Receiver()
    with (
        kit.segmenter(tmp_path, tmp_path / "state", PARFOCAL_MONITOR_URL=receiver.url) as service,
        kit.segmenter(tmp_path / "2", tmp_path / "state-2", PARFOCAL_MONITOR_URL=there.start().url) as other,
    ):
        slow: list[float] = []
        fast: list[float] = []

        def ask(of: kit.Service, seconds: list[float]) -> str:
            began = time.perf_counter()
            response = of.segment(PHOTO, instrument="A")
            seconds.append(time.perf_counter() - began)
            assert response.status_code == 200
            return str(response.json()["request_id"])

        away = set()
        for number in range(500):
            away.add(ask(service, slow))
            if number % 5 == 0:  # the one whose monitor answers, in between: whatever else the machine does meets both
                ask(other, fast)
        there.stop()
        assert len(away) == 500
        assert service.metric("parfocal_outbox_dropped_total") == 0
        kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 500)
        assert service.metric("parfocal_outbox_oldest_seconds") > 0
        assert "refused" in service.client.get("/readyz").json()["outbox"]["monitor"].lower()

        receiver.start()
        try:
            kit.wait_for(lambda: len(receiver.received) >= 500, report=service.output)
            assert receiver.received.keys() == away
            assert set(receiver.deliveries.values()) == {1}
            assert max(receiver.batches) <= 500
            assert sorted(one["seq"] for one in receiver.received.values()) == list(range(1, 501))
            back = {ask(service, []) for _ in range(100)}
            kit.wait_for(lambda: len(receiver.received) == 600, report=service.output)
            assert receiver.received.keys() == away | back
            # A monitor that is away costs no more than one that answers; a try to reach it alone would take longer
            # than this, and so would a wait for it.
            assert np.median(slow) < 2 * np.median(fast) + 0.005
            kit.wait_for(lambda: service.metric("parfocal_outbox_pending") == 0)
            assert service.metric("parfocal_outbox_sent_total") == 600
        finally:
            receiver.stop()
