"""A PostgreSQL of the tests' own: a cluster in a folder, on a free port, by an unprivileged user, ended by its own id.

Skipped with a line where PostgreSQL is not installed (`make system`) or no unprivileged user is there to run it.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest
from serving_kit import free_port

NUMBERS = count()
PDEATHSIG = 1
"""Of prctl(2): a signal when the tests' process dies, however it does."""


def programs() -> Path | None:
    """Folder of initdb and postgres: on the path, or where Debian puts them, off it."""
    found = shutil.which("initdb")
    if found and Path(found).resolve().with_name("postgres").exists():
        return Path(found).resolve().parent
    return next((p.parent for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)


def _user() -> str | None:
    """Who runs it: PostgreSQL refuses root. None: whoever we are."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL refuses root, and there is no user `postgres` or `nobody`")


class Cluster:
    """One server. Its folder is not under pytest's, which no other user may enter when root runs the tests."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            pytest.skip("initdb is not here: `make system` installs PostgreSQL")
        self._bin, self._user = found, _user()
        self._folder = Path(tempfile.mkdtemp(prefix="parfocal-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self.data = self._folder / "data"
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [self._bin / "initdb", "-D", self.data, "-U", "parfocal", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, user=self._user, cwd=self._folder,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": 40, "autovacuum": "off",
        }  # fmt: skip
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *words],
                stdout=log, stderr=log, user=self._user, cwd=self._folder,
                preexec_fn=lambda: ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGQUIT),  # noqa: PLW1509
            )  # fmt: skip
        end = time.monotonic() + 90
        ready = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < end, (self._folder / "log").read_text()
            assert self._server.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, *, now: bool = False) -> None:
        """End it: politely to connections, or `now` as a crash does, after which it recovers."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT if now else signal.SIGINT)
            self._server.wait(90)
        self._server = None

    def remove(self) -> None:
        self.stop(now=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def database(self) -> str:
        """URL of a new, empty database."""
        import psycopg

        name = f"test{next(NUMBERS)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def address(self, name: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=parfocal dbname={name}"

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://parfocal@127.0.0.1:{self.port}/{name}"


BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
"""Of a test that asks for `database_url`: it runs on both databases, otherwise on SQLite alone."""
