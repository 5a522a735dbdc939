"""What the segmenter is told by its environment: addresses, secrets, and limits that depend on the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field

from parfocal.adapters.settings import Settings
from parfocal.core.errors import UsageError


class SegmenterSettings(Settings):
    """Read once when a worker starts. Every limit holds for one worker, not for all of them together."""

    workers: int = Field(
        default=1, ge=1, validation_alias="PARFOCAL_SEGMENTER_WORKERS", description="processes that answer"
    )
    threads: int = Field(
        default=0,
        ge=0,
        validation_alias="PARFOCAL_SEGMENTER_THREADS",
        description="requests that a worker computes at once; 0: its share of the processors it may use",
    )
    runtime: str = Field(
        default="auto",
        validation_alias="PARFOCAL_SEGMENTER_RUNTIME",
        description="`openvino` (in one precision: `openvino-bf16`, `-f16`, `-f32`), `onnxruntime`, `pytorch`; `auto`: "
        "PARFOCAL_RUNTIME, else what fits this machine",
    )
    upload_mb: float = Field(
        default=25.0,
        gt=0,
        validation_alias="PARFOCAL_SEGMENTER_UPLOAD_MB",
        description="largest request body in megabytes (10^6 bytes); a larger one is answered 413",
    )
    megapixels: float = Field(
        default=50.0,
        gt=0,
        validation_alias="PARFOCAL_SEGMENTER_MEGAPIXELS",
        description="largest photograph in millions of pixels, checked before a pixel is decoded: 3 bytes each",
    )
    timeout: float = Field(
        default=30.0,
        gt=0,
        validation_alias="PARFOCAL_SEGMENTER_TIMEOUT",
        description="seconds from a request's first byte to its answer; later it is answered 504",
    )
    concurrency: int = Field(
        default=64,
        ge=1,
        validation_alias="PARFOCAL_SEGMENTER_CONCURRENCY",
        description="photographs that a worker has at once, computed and waiting; one more is answered 429. As many "
        "again may be on their way in, and as many clicks beside them",
    )
    drain: float = Field(
        default=1.0,
        ge=0,
        validation_alias="PARFOCAL_DRAIN_SECONDS",
        description="seconds after SIGTERM in which /readyz says 503 and everything is answered as ever; longer than "
        "whoever shares out the requests takes to notice",
    )
    outbox: Path | None = Field(
        default=None,
        validation_alias="PARFOCAL_OUTBOX",
        description="folder of observations not yet delivered, on a disk of this machine; default: in the state folder",
    )
    outbox_rows: int = Field(
        default=50_000,
        ge=1,
        validation_alias="PARFOCAL_OUTBOX_ROWS",
        description="observations a worker keeps for a monitor that is away, about 4 KB each; one more is dropped",
    )
    flips: float = Field(
        default=0.1,
        ge=0,
        le=1,
        validation_alias="PARFOCAL_SEGMENTER_FLIPS",
        description="fraction of the answers that are held against the answer to the mirrored picture, after they have "
        "left and while nobody waits; 0: none",
    )
    capture: float = Field(
        default=0.0,
        ge=0,
        le=1,
        validation_alias="PARFOCAL_CAPTURE",
        description="fraction of the photographs that are kept, without their metadata; 0 keeps none",
    )
    capture_days: int = Field(
        default=30,
        ge=1,
        validation_alias="PARFOCAL_CAPTURE_DAYS",
        description="days after which a kept one is deleted, once the clock has gone evenly for a day",
    )
    clicks_model: str = Field(
        default="",
        validation_alias="PARFOCAL_CLICKS_MODEL",
        description="bundle that answers clicks: a folder, or an alias of the task's registry; empty: /refine is 501",
    )
    recent_mb: float = Field(
        default=256.0,
        ge=0,
        validation_alias="PARFOCAL_RECENT_MB",
        description="megabytes (10^6 bytes) of decoded pictures a worker remembers for clicks; none without a "
        "model that answers them",
    )
    recent_seconds: float = Field(
        default=600.0,
        gt=0,
        validation_alias="PARFOCAL_RECENT_SECONDS",
        description="seconds since its last use after which a remembered picture is forgotten",
    )
    patient_secret: str = Field(
        default="",
        validation_alias="PARFOCAL_PATIENT_SECRET",
        description="key of the patients' HMAC, the same wherever one installation answers; empty: made once and kept "
        "in the state folder",
    )

    monitors: str = Field(
        default="",
        validation_alias="PARFOCAL_MONITOR_URLS",
        description="of further tasks, each of which has a monitor of its own: `lung=http://...,brain=http://...`",
    )

    def each(self) -> tuple[Self, ...]:
        """These settings for every task, the first one's first.

        Raises:
            UsageError: a monitor is named for no task of this service, or without an address.
        """
        names = self.served
        monitors = {names[0]: self.monitor_url}
        for one in filter(None, self.monitors.split(",")):
            name, _, address = one.strip().partition("=")
            if name not in names[1:] or not address:
                raise UsageError(
                    f"'{one}'", where="PARFOCAL_MONITOR_URLS", expected=f"task=address, of {', '.join(names[1:])}"
                )
            monitors[name] = address
        return tuple(self._of(name, monitors.get(name, ""), i == 0) for i, name in enumerate(names))

    def _of(self, name: str, monitor: str, first: bool) -> Self:
        told: dict[str, object] = {"task": name, "monitor_url": monitor}
        if not first:
            alias = self.clicks_model if len(Path(self.clicks_model).parts) == 1 else ""  # a folder is of one task
            told |= {"clicks_model": alias, "outbox": self.outbox and self.outbox / name}
        return self.model_copy(update=told)

    @property
    def pool(self) -> int:
        """Requests that a worker computes at once."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.workers)

    @property
    def outbox_folder(self) -> Path:
        """Where every worker has a slot."""
        return self.outbox or self.state.resolve() / "outbox" / self.task

    @property
    def upload_bytes(self) -> int:
        return int(self.upload_mb * 1e6)

    @property
    def pixels(self) -> int:
        return int(self.megapixels * 1e6)
