"""Programs that this one starts and that never outlive it, each under a guard (`parfocal.adapters.guard`)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from parfocal.core.errors import OutsideServiceError

GUARD = Path(__file__).with_name("guard.py")
GRACE = 15.0
"""Seconds between a polite end and a forced one: services finish the requests that they have."""
_given: set[int] = set()


class Child:
    """A program under its guard.

    Attributes:
        name: what it is called, in the log's name and in errors.
        pid: of the program itself, not of the guard.
        log: file of everything it has written, of earlier starts too.
    """

    def __init__(self, name: str, guard: subprocess.Popen[bytes], log: Path, begun: int) -> None:
        self.name, self.log = name, log
        self._guard, self._begun = guard, begun
        self._code: int | None = None
        self._lock = threading.Lock()
        assert guard.stdout is not None
        self._words = guard.stdout
        said = self._words.readline().decode().strip()
        if not said.startswith("pid "):
            guard.wait()
            self._words.close()
            raise OutsideServiceError(f"{name} cannot be started: {said.removeprefix('failed ')}", where=log)
        self.pid = int(said.removeprefix("pid "))
        os.set_blocking(self._words.fileno(), False)

    @property
    def returncode(self) -> int | None:
        """None while it runs; 128 + N when signal N ended it."""
        with self._lock:
            if self._code is None:
                ended = self._guard.poll() is not None
                self._code = _code_in(self._words.read(512) or b"")
                if ended and self._code is None:  # the guard was killed, and its program with it
                    self._code = 128 + signal.SIGKILL
                    with suppress(ProcessLookupError):
                        os.killpg(self.pid, signal.SIGKILL)
                if self._code is not None:
                    self._words.close()
            return self._code

    def alive(self) -> bool:
        """Whether the program itself runs; what it has left behind may be about to end."""
        return self.returncode is None

    def tell(self, *, kill: bool = False) -> None:
        """Have the guard end the program and everything under it, politely or at once, without waiting for it."""
        assert self._guard.stdin is not None
        with suppress(OSError, ValueError):
            if kill:
                self._guard.stdin.write(b"kill")
                self._guard.stdin.flush()
            self._guard.stdin.close()

    def stop(self, *, kill: bool = False) -> int:
        """End the program and everything under it; its exit code. Nothing of it is left when this returns."""
        self.tell(kill=kill)
        self._guard.wait()
        code = self.returncode
        assert code is not None
        return code

    def gone(self) -> bool:
        """Whether the guard has ended too, which is when nothing is left of the program's processes."""
        return self._guard.poll() is not None

    def tail(self, lines: int = 20) -> str:
        """The last lines that this start has written."""
        with self.log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(self._begun, size - 200 * lines))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])


class Processes:
    """Starts programs with their output in one folder, and ends those that are left when it is closed."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: dict[str, Child] = {}
        self._before: list[Child] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        grace: float = GRACE,
        keep: bool = False,
    ) -> Child:
        """Start a program in a session of its own; its output is appended to ``<logs>/<name>.log``.

        Args:
            name: one that is not running.
            command: its words.
            environment: the whole of it; default: this process's.
            grace: seconds it gets to end by itself.
            keep: when the program dies, what it had put into sessions of their own goes on until the child is stopped.

        Raises:
            OutsideServiceError: there is no such program.
        """
        assert name not in self.children or not self.children[name].alive(), f"{name} runs already"
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        guard = [sys.executable, "-P", str(GUARD), str(os.getpid()), str(grace), "keep" if keep else "end"]
        with log.open("ab") as output:
            begun = output.tell()  # before it starts: it writes where this one stands
            started = subprocess.Popen(  # noqa: S603
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,  # Ctrl-C is heard by the supervisor alone, which ends its programs in order
                bufsize=0,
            )
        child = Child(name, started, log, begun)
        if name in self.children:
            self._before.append(self.children[name])  # its guard may still have something that was kept
        self.children[name] = child
        return child

    def stop(self, *names: str, kill: bool = False) -> None:
        """End these programs at the same time, and wait for all of them."""
        children = [self.children.pop(name) for name in names if name in self.children]
        children += [child for child in self._before if child.name in names]
        self._before = [child for child in self._before if child.name not in names and not child.gone()]
        for child in children:
            child.tell(kill=kill)
        for child in children:
            child.stop()

    def close(self) -> None:
        """End whatever is left, the youngest first."""
        for name in reversed(tuple(self.children)):
            self.stop(name)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on, and that was not given before in this process."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a service could listen there now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def answers(port: int, path: str, *, seconds: float = 2.0, tls: bool = False) -> bool:
    """Whether a service of this machine answers a GET with success. Proxies of the environment are not asked."""
    status, _ = _get(port, path, seconds, tls)
    return 200 <= status < 300


def get_json(port: int, path: str, *, seconds: float = 5.0, tls: bool = False, token: str = "") -> Any:
    """What a service of this machine says in JSON, whatever its status; None when it says nothing, or not in JSON."""
    _, body = _get(port, path, seconds, tls, token)
    with suppress(ValueError):
        return json.loads(body)
    return None


def _get(port: int, path: str, seconds: float, tls: bool, token: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    if tls:  # its certificate names the host as others know it, and this stays on the machine
        unproved = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=seconds, context=unproved)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def wait_until(check: Callable[[], bool], child: Child, seconds: float, *, every: float = 0.05) -> float:
    """Wait until a program is ready and return how long that took, in seconds.

    Raises:
        OutsideServiceError: it died first, or was not ready in time; with the last lines of its log.
    """
    begun = time.monotonic()
    while True:
        if check():
            return time.monotonic() - begun
        late = time.monotonic() - begun > seconds
        if late or not child.alive():
            what = f"was not ready within {seconds:.0f} s" if child.alive() else f"ended with code {child.returncode}"
            raise OutsideServiceError(
                f"{child.name} {what}; the last it wrote:\n{_indented(child.tail())}",
                where=child.log,
                next="mend what the log names, then start again",
            )
        time.sleep(every)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"


def _code_in(words: bytes) -> int | None:
    """The exit code, if the guard has said it."""
    line = words.decode().strip()
    return int(line.removeprefix("exited ")) if line.startswith("exited ") else None
