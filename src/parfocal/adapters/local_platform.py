"""Starts the services of one machine in their order, keeps them running, and ends them all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType

from parfocal.adapters import local_record
from parfocal.adapters.local_running import Running, Watcher
from parfocal.adapters.local_services import HOST, SERVICES, Place, Service, environment, token, trigger_path
from parfocal.adapters.mlflow_client import without_password
from parfocal.adapters.processes import Child, Processes, free_port, port_is_free, wait_until
from parfocal.adapters.settings import Settings, loopback
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.protocols import Reporter
from parfocal.core.reporting import Silent

NAMES = tuple(service.name for service in SERVICES)
READY = 30.0
"""Seconds a live service gets to be ready before the start goes on without it and says so."""


class LocalPlatform:
    """The services of one state folder, as a context: leaving it leaves nothing running. Safe for several threads.

    Attributes:
        addresses: service to URL, of all that this platform may start; known before they run.
        token: what the monitor demands.
        trigger_path: ``alertmanager`` or ``monitor``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        only: Sequence[str] | None = None,
        ports: Mapping[str, int] | None = None,
        host: str = HOST,
        workers: int = 0,
        environment: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        name: str = "platform",
        services: Sequence[Service] = SERVICES,
    ) -> None:
        """Choose services and ports. Nothing is started or written yet.

        Args:
            settings: of this installation. A registry behind an http address is used, not started.
            only: services that this platform may start; default: all that are installed.
            ports: service to port; free ones are found for the others.
            host: where segmenter and monitor listen.
            workers: processes of the segmenter; 0: as its own settings say.
            environment: variables for every service.
            reporter: hears what happens; the log has it too.
            name: of the record in the state folder.
            services: what there is to choose from.

        Raises:
            UsageError: there is no such service, a port was named twice or for none, or an open service would listen
                to other machines.
        """
        if settings.open and not loopback(host):
            raise UsageError(f"an open service does not listen on {host}", next="leave --open, or --host, out")
        self._services = _chosen(services, only, settings)
        self.left_out = tuple(s.name for s in services if (only is None or s.name in only) and not s.installed())
        self.state, self._name = settings.state.resolve(), name
        self._reporter = reporter or Silent()
        self._settings, self._host, self._workers = settings, host, workers
        self._extra = dict(environment or {})
        self._ports = _ports(self._services, dict(ports or {}))
        self._running: dict[str, Running] = {}
        self._starts = 0
        self._lock = threading.RLock()

    def __enter__(self) -> LocalPlatform:
        """Take the state folder.

        Raises:
            UsageError: something runs on it already, or a port that was asked for is taken.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        self._locks = local_record.Locks(self.state, tuple(self._services))
        try:
            for name, port in self._ports.items():
                if not port_is_free(port):
                    raise UsageError(f"port {port} for {name} is taken", next="name another port, or none")
            self.token = token(self._settings)
        except BaseException:
            self._locks.release()
            raise
        self._place = Place(self._settings, self._ports, self._host, self.token, self._workers, self._extra)
        self._processes = Processes(self.state / "logs")
        self._processes.logs.mkdir(parents=True, exist_ok=True)
        self._log = (self._processes.logs / f"{self._name}.log").open("a", buffering=1)
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._write()
        self._watcher = Watcher(
            self._running, self._lock, self._place, self._launch, changed=self._write, note=self._note
        )
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.stop()
        try:
            self.stop()
        finally:
            self._processes.close()
            (self.state / f"{self._name}.json").unlink(missing_ok=True)
            self._log.close()
            self._locks.release()

    @property
    def addresses(self) -> dict[str, str]:
        place = Place(self._settings, self._ports)
        known = {name: place.address(name) for name in self._ports}
        registry = without_password(self._settings.mlflow_uri)
        return {"mlflow": registry, **known} if registry.startswith("http") else known

    @property
    def trigger_path(self) -> str:
        return trigger_path(self._place)

    def start(self, *names: str) -> None:
        """Start these services, by default all, each after those that it needs, and wait until they are ready.

        Those that are not installed here or run already are passed over.

        Raises:
            OutsideServiceError: one died or was not ready in time; with the last lines of its log.
        """
        wanted = [self._services[name] for name in self._services if not names or name in names]
        futures: dict[str, Future[None]] = {}
        given_up = threading.Event()
        self._starts += 1
        with ThreadPoolExecutor(len(wanted) or 1) as pool:
            for service in wanted:  # in an order in which those that are needed come first
                needed = [futures[other] for other in service.after if other in futures]
                futures[service.name] = pool.submit(self._start, service, needed, given_up)
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in futures.values():
                    if future.done():
                        future.result()
            except BaseException:  # Ctrl-C too: nobody waits for the others
                given_up.set()
                self.stop(*futures)
                raise
            finally:
                self._starts -= 1
        self._write()

    def stop(self, *names: str, kill: bool = False) -> None:
        """End these services, by default all, who asks before who answers. They are not started again."""
        for turn in sorted({service.ends for service in self._services.values()}):
            chosen = [s.name for s in self._services.values() if s.ends == turn and (not names or s.name in names)]
            with self._lock:
                for name in chosen:
                    if name in self._running:
                        self._running[name].state = "stopped"
            self._processes.stop(*chosen, kill=kill)
        self._write()

    def alive(self, name: str) -> bool:
        """Whether a service's process runs."""
        with self._lock:
            return name in self._running and self._running[name].child.alive()

    def pid(self, name: str) -> int | None:
        """Of a service's process, None when it does not run. After a restart it is another."""
        with self._lock:
            return self._running[name].child.pid if self.alive(name) else None

    def states(self) -> dict[str, str]:
        """Service to its state, as in `Running`; ``waiting`` before it was started."""
        with self._lock:
            found = {name: running.state for name, running in self._running.items()}
        return {name: found.get(name, "waiting") for name in self._services}

    def wait(self, ended: threading.Event | None = None) -> None:
        """Return at Ctrl-C, or when the event is set."""
        ended = ended or threading.Event()
        with suppress(KeyboardInterrupt):
            while not ended.wait(0.5):
                pass

    def _start(self, service: Service, needed: Sequence[Future[None]], given_up: threading.Event) -> None:
        for future in needed:
            future.result()
        with self._lock:
            if self.alive(service.name) or given_up.is_set():
                return
            running = self._running[service.name] = Running(service, *self._launch(service))
        self._write()
        took = wait_until(lambda: service.is_live(self._place, running.since), running.child, service.seconds)
        try:
            took += wait_until(lambda: service.is_ready(self._place), running.child, READY)
        except OutsideServiceError:
            if not running.child.alive():
                raise
            self._note(f"{service.name} runs but is not ready; see {running.child.log}")
        with self._lock:
            if running.state == "starting":
                running.state = "up"
        self._note(f"{service.name} is up after {took:.1f} s, process {running.child.pid}")
        self._write()

    def _launch(self, service: Service) -> tuple[Child, float]:
        since = time.time()
        child = self._processes.start(
            service.name, service.command(self._place), environment(service, self._place), keep=service.keep
        )
        return child, since

    def _note(self, text: str) -> None:
        with suppress(OSError):
            self._log.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}\n")
        with suppress(OSError):  # such as of a terminal that was closed: what is running goes on
            self._reporter.note(text)

    def _write(self) -> None:
        with self._lock:
            known = self.addresses
            services = {
                name: running.entry(self._ports.get(name), known.get(name) if name in self._ports else None)
                for name, running in self._running.items()
            }
            values = {
                "supervisor": os.getpid(),
                "started": self._began,
                "manages": list(self._services),
                "ready": bool(services) and not self._starts and all(s["state"] == "up" for s in services.values()),
                "trigger_path": self.trigger_path,
                "logs": str(self.state / "logs"),
                "addresses": known,
                "services": services,
            }
            local_record.write(self.state, self._name, values)


def _chosen(services: Sequence[Service], only: Sequence[str] | None, settings: Settings) -> dict[str, Service]:
    known = [service.name for service in services]
    for name in only or ():
        if name not in known:
            raise UsageError(f"there is no service '{name}'", expected=", ".join(known))
    named = {service.name: service for service in services if only is None or service.name in only}
    elsewhere = settings.artifacts is None  # a registry that somebody else runs
    return {name: s for name, s in named.items() if s.installed() and not (name == "mlflow" and elsewhere)}


def _ports(services: Mapping[str, Service], asked: dict[str, int]) -> dict[str, int]:
    taken = [port for name, port in asked.items() if name in services]
    if len(set(taken)) < len(taken):
        raise UsageError("two services were given the same port", expected="one each")
    return {name: asked.get(name) or free_port() for name, service in services.items() if service.live}
