"""The services of one machine as data: what starts each, what it needs to be told, how it shows that it is ready."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parfocal.adapters import follower, prometheus
from parfocal.adapters.mlflow_client import DEFAULTS
from parfocal.adapters.processes import answers
from parfocal.adapters.settings import Settings
from parfocal.adapters.tokens import made_once

HOST = "127.0.0.1"
GUARDED = ("segmenter", "monitor")
"""Services that ask for a token, and have a certificate where there is one. All others listen on this machine alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the services of one start are.

    Attributes:
        settings: of this installation.
        ports: service to port, of all that will run.
        host: on which segmenter and monitor listen.
        token: that the monitor demands.
        workers: processes of the segmenter; 0 leaves it to its own settings.
        extra: environment variables for every service, over all others.
    """

    settings: Settings
    ports: Mapping[str, int]
    host: str = HOST
    token: str = ""
    workers: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.settings.state.resolve()

    def tls(self, name: str) -> bool:
        """Whether a service speaks HTTPS."""
        return name in GUARDED and self.settings.tls_certificate is not None

    def address(self, name: str) -> str:
        """Of a service of this machine."""
        return f"{'https' if self.tls(name) else 'http'}://{HOST}:{self.ports[name]}"

    @property
    def registry(self) -> str:
        """MLflow: the server that is started here, or what the settings name."""
        return self.address("mlflow") if "mlflow" in self.ports else self.settings.mlflow_uri

    @property
    def monitor(self) -> str:
        """Address of the monitor; empty when there is none and none is named."""
        return self.address("monitor") if "monitor" in self.ports else self.settings.monitor_url


@dataclass(frozen=True, slots=True)
class Service:
    """One program of the platform.

    Attributes:
        command: its words, and whatever files it must find.
        after: services that have to be ready before it.
        live: path that answers 200 once it runs; empty for one without a port.
        ready: likewise once it can do its work; empty when that is the same.
        program: of the system, without which this service is left out.
        keep: what it launched goes on when it dies, and ends when it is stopped.
        ends: the turn in which it is stopped: who asks before who answers.
        seconds: it gets to be live. A cold disk takes several times longer than a warm one.
    """

    name: str
    command: Callable[[Place], Sequence[str]]
    after: tuple[str, ...] = ()
    live: str = ""
    ready: str = ""
    program: str = ""
    keep: bool = False
    ends: int = 0
    seconds: float = 120
    environment: Callable[[Place], Mapping[str, str]] = lambda _: {}

    def installed(self) -> bool:
        return not self.program or shutil.which(self.program) is not None

    def is_live(self, place: Place, since: float) -> bool:
        """Whether the one that was started at `since` (seconds since 1970) runs."""
        if self.live:
            return answers(place.ports[self.name], self.live, tls=place.tls(self.name))
        return beat(place.settings) >= since

    def is_ready(self, place: Place) -> bool:
        """Whether it can do its work. A segmenter without a champion that it may answer with has none to do."""
        champion = follower.current(place.settings.serving)
        if not self.ready or champion is None or "unserved" in champion:
            return True
        return answers(place.ports[self.name], self.ready, tls=place.tls(self.name))


def beat(settings: Settings) -> float:
    """When the follower last heard from the registry, in seconds since 1970; 0 for never."""
    try:
        return (settings.serving / follower.BEAT).stat().st_mtime
    except OSError:
        return 0.0


def environment(service: Service, place: Place) -> dict[str, str]:
    """Everything that a service is told."""
    settings = place.settings
    common = {
        "PARFOCAL_STATE": str(place.state),
        "PARFOCAL_TASK": settings.task,
        "PARFOCAL_EXPERIMENT": settings.experiment,
        "PARFOCAL_DATABASE_URL": settings.database_url,
        "PARFOCAL_MONITOR_URL": place.monitor,
        "PARFOCAL_TOKEN": place.token,
        "PARFOCAL_TOKENS": str(settings.token_file),
        "PARFOCAL_OPEN": "1" if settings.open else "",
        "PARFOCAL_TLS_CERTIFICATE": str(settings.tls_certificate or ""),
        "PARFOCAL_TLS_KEY": str(settings.tls_key or ""),
        "MLFLOW_TRACKING_URI": place.registry,
        "PYTHONUNBUFFERED": "1",
    }
    return {**DEFAULTS, **os.environ, **common, **service.environment(place), **place.extra}


def token(settings: Settings) -> str:
    """The named token, or a random one that is made once and kept in the state folder for its owner alone."""
    if settings.token:
        return settings.token
    return made_once(settings.state.resolve() / "token", lambda: secrets.token_urlsafe(32)).decode()


def _mlflow(place: Place) -> list[str]:
    # Artifacts are plain folders under the state, as they are without a server, and pass through no HTTP: what one way
    # has registered the other finds. One worker, no job consumers, no line a request: a follower asks every second.
    server = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(place.ports["mlflow"])]
    stores = ["--backend-store-uri", place.settings.mlflow_uri, "--no-serve-artifacts"]
    artifacts = ["--default-artifact-root", str(place.settings.artifacts)]
    return [*server, *stores, *artifacts, "--workers", "1", "--uvicorn-opts", "--log-level warning"]


def _segmenter(place: Place) -> list[str]:
    service = "parfocal_serving.segmenter.service:Segmenter"
    where = ["--host", place.host, "--port", str(place.ports["segmenter"])]
    certificate, key = place.settings.tls_certificate, place.settings.tls_key
    tls = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)] if certificate else []
    return [sys.executable, "-m", "bentoml", "serve", service, *where, *tls]


def _segmenter_environment(place: Place) -> dict[str, str]:
    # Two servers under one home wipe each other's metrics.
    told = {"BENTOML_HOME": str(place.state / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    return told | ({"PARFOCAL_SEGMENTER_WORKERS": str(place.workers)} if place.workers else {})


def _monitor(place: Place) -> list[str]:
    where = ["--host", place.host, "--port", str(place.ports["monitor"])]
    return [sys.executable, "-m", "parfocal_serving.monitor", *where]


def _monitor_environment(place: Place) -> dict[str, str]:
    told = {"PARFOCAL_TRIGGER_PATH": trigger_path(place)}
    return told | ({"PARFOCAL_SEGMENTER_URL": place.address("segmenter")} if "segmenter" in place.ports else {})


def trigger_path(place: Place) -> str:
    """How an alarm reaches the trigger: through Alertmanager where it runs, here with Prometheus or as it is said."""
    if {"prometheus", "alertmanager"} <= place.ports.keys():
        return "alertmanager"
    return os.environ.get("PARFOCAL_TRIGGER_PATH") or "monitor"


def _prometheus(place: Place) -> list[str]:
    file, _ = _monitoring(place)
    storage = [f"--storage.tsdb.path={place.state / 'prometheus'}", "--storage.tsdb.retention.time=15d"]
    return ["prometheus", f"--config.file={file}", *storage, *_listen(place, "prometheus")]


def _monitoring(place: Place) -> tuple[Path, Path]:
    folder, certificate = place.state / "monitoring", place.settings.tls_certificate
    return prometheus.write(folder, place.ports, place.monitor, place.token, certificate)


def _alertmanager(place: Place) -> list[str]:
    _, file = _monitoring(place)
    alone = [f"--storage.path={place.state / 'alertmanager'}", "--cluster.listen-address="]
    return ["prometheus-alertmanager", f"--config.file={file}", *alone, *_listen(place, "alertmanager")]


def _listen(place: Place, name: str) -> list[str]:
    return [f"--web.listen-address={HOST}:{place.ports[name]}", "--log.level=warn"]


SERVICES = (
    Service(
        "mlflow",
        _mlflow,
        live="/health",
        ends=2,
        environment=lambda _: {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    ),
    Service("follower", lambda _: [sys.executable, "-m", "parfocal.adapters.follower"], after=("mlflow",), ends=1),
    Service(
        "monitor",
        _monitor,
        live="/livez",
        keep=True,
        ends=1,
        environment=_monitor_environment,
    ),
    Service(
        "segmenter",
        _segmenter,
        after=("follower",),
        live="/livez",
        ready="/readyz",
        environment=_segmenter_environment,
    ),
    Service("prometheus", _prometheus, live="/-/ready", program="prometheus", seconds=60),
    Service("alertmanager", _alertmanager, live="/-/ready", program="prometheus-alertmanager", seconds=60),
)
"""In an order in which those that are needed come first."""
