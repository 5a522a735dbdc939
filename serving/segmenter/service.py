"""The segmenter as a BentoML service: `bentoml serve parfocal_serving.segmenter.service:Segmenter`."""

from __future__ import annotations

import bentoml
from parfocal_serving.security.guard import Guard
from parfocal_serving.security.protection import demand, of_segmenter
from parfocal_serving.segmenter import web
from parfocal_serving.segmenter.drain import Drain, Ending
from parfocal_serving.segmenter.pools import Pools
from parfocal_serving.segmenter.running import Running
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
        pools = Pools(SETTINGS)
        self.workers = [Worker(one, pools) for one in SETTINGS.each()]
        Running.worker = self.workers[0]
        Running.others = {one.settings.task: one for one in self.workers[1:]}
        for worker in self.workers:
            worker.start()
        Ending.drain = Drain(SETTINGS.drain, SETTINGS.timeout, lambda: Running.requests)
        Ending.drain.install()

    def __is_ready__(self) -> bool:
        return any(worker.champions.current is not None for worker in self.workers)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def guarded() -> None:
        """Once, before any worker starts: without a token, and not told to be open, nothing is served."""
        demand(SETTINGS)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let go of the outboxes, so that a successor finds them."""
        for worker in self.workers:
            worker.stop()


# The first one added is the outermost: nobody is answered by anything that the guard has not seen.
Segmenter.add_asgi_middleware(Guard, protection=of_segmenter(SETTINGS))  # type: ignore[attr-defined]
Segmenter.add_asgi_middleware(Ending)  # type: ignore[attr-defined]
Segmenter.add_asgi_middleware(web.Readiness)  # type: ignore[attr-defined]  # the decorator made it a Service
