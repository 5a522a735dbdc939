"""What was accepted is on the disk a tenth of a second later, not only in the system's memory."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from parfocal_serving.segmenter import upkeep
from parfocal_serving.segmenter.outbox import FLUSH, Outbox
from parfocal_serving.segmenter.upkeep import Upkeep

from parfocal.core.observations import to_json
from parfocal.core.types import Observation


def test_the_journal_is_synced_by_the_upkeep_every_tenth_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, 10)
    assert outbox.accept(to_json(Observation("a", "fundus", "A", "1", "", 0, 1.0, (), {}, {})))
    synced, real = threading.Event(), os.fsync
    journal = (tmp_path / "0.journal").stat().st_ino

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if os.fstat(descriptor).st_ino == journal:
            synced.set()

    monkeypatch.setattr(os, "fsync", fsync)
    nothing: Any = None
    running = Upkeep("fundus", outbox, nothing, nothing)
    monkeypatch.setattr(upkeep, "GAUGES", 1e9)
    running.start()
    try:
        assert FLUSH == 0.1
        assert synced.wait(60), "on a busy machine it comes later"
    finally:
        running.stop()
