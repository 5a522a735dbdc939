"""What the tasks of one worker process share: its threads, its room for requests, and the pictures it remembers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from parfocal_serving.segmenter.pressure import Pressure
from parfocal_serving.segmenter.recent import Recent
from parfocal_serving.segmenter.settings import SegmenterSettings


class Pools:
    """Clicks have threads and room of their own, so that they never wait behind photographs."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.segment = ThreadPoolExecutor(settings.pool, thread_name_prefix="segment")
        self.click = ThreadPoolExecutor(settings.pool, thread_name_prefix="click")
        self.segmenting = Pressure(settings.concurrency, settings.pool)
        self.clicking = Pressure(settings.concurrency, settings.pool)
        self.recent = Recent(int(settings.recent_mb * 1e6), settings.recent_seconds)

    def stop(self) -> None:
        """Wait for what was begun, and for what is still to be measured of the last answers."""
        for pool in (self.segment, self.click):
            pool.shutdown(wait=True)
