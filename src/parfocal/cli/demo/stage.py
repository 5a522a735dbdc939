"""What the demo has: its folder, its services, its clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from parfocal.cli.demo import follow, view
from parfocal.cli.demo.traffic import Clinic
from parfocal.cli.demo.watch import Monitor

if TYPE_CHECKING:
    from parfocal.adapters.local_platform import LocalPlatform
    from parfocal.steps.config import RunConfig

TASK = "fundus"


@dataclass
class Stage:
    """The demo's folder and services, and how long each phase took in seconds.

    Attributes:
        clinic, monitor: connected by `open`; not there before.
    """

    out: Path
    platform: LocalPlatform
    phases: dict[str, float] = field(default_factory=dict)
    clinic: Clinic = field(init=False)
    monitor: Monitor = field(init=False)

    @property
    def state(self) -> Path:
        """State folder of the platform."""
        return self.out / "state"

    @property
    def runs(self) -> Path:
        """Where the monitor's launcher keeps its runs."""
        return self.state / "runs"

    def open(self) -> None:
        """Connect to the services, once they are there."""
        self.clinic = Clinic(self.platform.addresses["segmenter"])
        self.monitor = Monitor(self.platform.addresses["monitor"], self.platform.token)

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        """Announce a phase and time it."""
        view.heading(title)
        started = time.monotonic()
        yield
        self.phases[name] = round(time.monotonic() - started, 1)

    def initial(self, experience: Path, config: RunConfig) -> Mapping[str, str]:
        """Run the pipeline `initial` to its end and return its outputs, folder by name."""
        from parfocal.adapters import kubeflow

        arguments = {
            "config": config.canonical_json(),
            "experience_uri": str(experience),
            "idempotency_key": f"demo-initial-{config.data.instrument}",
        }
        with follow.reporter() as report:
            done = kubeflow.run_local(kubeflow.pipeline("initial"), arguments, self.out / "pipelines", reporter=report)
        return done.outputs
