"""The segmenter as a BentoML service: `bentoml serve parfocal_serving.segmenter.service:Segmenter`."""

from __future__ import annotations

import bentoml
from parfocal_serving.segmenter import web
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker

SETTINGS = SegmenterSettings()


@bentoml.service(
    name="segmenter",
    workers=SETTINGS.workers,
    # Ours answers first, in the house's words; BentoML's is for a caller that never ends its upload's first line.
    traffic={"timeout": SETTINGS.timeout + 5},
)
@bentoml.asgi_app(web.app)
class Segmenter:
    """A picture in, masks out (`/segment`, `/refine`); who answers and what it knows. `/openapi.json` describes it."""

    def __init__(self) -> None:
        self.worker = web.Running.worker = Worker(SETTINGS)
        self.worker.start()

    def __is_ready__(self) -> bool:
        return self.worker.champions.current is not None

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let go of the outbox, so that a successor finds it."""
        self.worker.stop()


Segmenter.add_asgi_middleware(web.Readiness)  # type: ignore[attr-defined]  # the decorator made it a Service
