"""A container engine and images of this checkout, for the tests that run inside them.

The engine is the one that DOCKER_HOST or the default socket reaches; else, for root where `dockerd` is installed, one
of the tests' own on a private socket, ended by its own id. The base image is pulled where a registry can be reached;
elsewhere a stand-in is made of Debian's packages, and the Containerfiles are built upon it unchanged.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = "python:3.11-slim-bookworm"
PACKAGES = "python3.11,python3-pip,python3.11-venv,ca-certificates"
STEPS, SERVING, MLFLOW = "parfocal/components:tested", "parfocal/serving:tested", "parfocal/mlflow:tested"
GPU = "parfocal/components:tested-gpu"
USER = "10001:10001"
HOW = "`make system-containers` installs it"


def docker(*arguments: str | Path, check: bool = True) -> str:
    """What the client printed; with `check` a failure shows all of it."""
    done = subprocess.run(
        ["docker", *map(str, arguments)], cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def answers() -> bool:
    return shutil.which("docker") is not None and "Server Version" in docker("info", check=False)


@contextmanager
def engine() -> Iterator[None]:
    """One that answers, at DOCKER_HOST, for as long as the block runs."""
    if answers():
        yield
        return
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        _lacking("no container engine")
    if os.geteuid():
        pytest.skip("no container engine answers, and only root can start one: start one, or name it in DOCKER_HOST")
    with tempfile.TemporaryDirectory(prefix="parfocal-docker-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "daemon.json").write_text('{"bridge": "none", "iptables": false, "oom-score-adjust": 0}')
        address = f"unix://{folder}/socket"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["dockerd", "--config-file", folder / "daemon.json", "-H", address, "--data-root", folder / "data",
                 "--exec-root", folder / "exec", "--pidfile", folder / "pid"], stdout=log, stderr=log,
            )  # fmt: skip
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("DOCKER_HOST", address)
            try:
                _wait(process, folder / "log")
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                subprocess.run(
                    ["rm", "-rf", folder / "data"], check=False
                )  # minutes sooner than file by file in Python


def _lacking(what: str) -> None:
    """Skipped with a line, but for a run of CI, which installs what it needs."""
    assert not os.environ.get("CI"), what
    pytest.skip(f"{what}: {HOW}")


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            pytest.skip(f"dockerd does not start on this machine: {log.read_text()[-600:]}")
        time.sleep(0.2)


def images() -> None:
    """Build the images of steps and services; PARFOCAL_TEST_IMAGES=built takes those of the last time."""
    if os.environ.get("PARFOCAL_TEST_IMAGES") == "built":
        return
    _needs()
    with torch_index() as index:
        _build("components", STEPS, "--target", "cpu", "--build-arg", f"TORCH_INDEX={index}")
    _build("serving", SERVING)


def gpu_image() -> None:
    """Build the target `gpu` with the CPU build of PyTorch, whose index can be reached from anywhere."""
    if os.environ.get("PARFOCAL_TEST_IMAGES") == "built":
        return
    _needs()
    with torch_index() as index:
        _build("components", GPU, "--target", "gpu", "--build-arg", f"TORCH_INDEX={index}")


def mlflow_image() -> None:
    """Build that of MLflow's server, which has nothing of ours in it."""
    if os.environ.get("PARFOCAL_TEST_IMAGES") == "built":
        return
    _needs()
    _build("manifests/base/mlflow", MLFLOW)


def _needs() -> None:
    """The base image, and packages from within it: a build that reaches no index says nothing of a Containerfile."""
    _base()
    asked = ("run", "--rm", "--network", "host", BASE, "python3", "-m", "pip", "download", "--quiet", "--no-deps",
             "--dest", "/tmp", "iniconfig")  # fmt: skip
    said = docker(*asked, "--retries", "2", check=False)
    if "ERROR" in said or "Error" in said:
        pytest.skip(f"no package index answers inside a container on this machine: {said[-400:]}")


def _build(folder: str, tag: str, *said: str) -> None:
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, capture_output=True, check=False
    ).stdout.strip()
    docker(
        "build", "--network", "host", "-f", f"{folder}/Containerfile", "-t", tag, *said,
        "--build-arg", f"BASE={BASE}", "--build-arg", "VERSION=tested", "--build-arg", f"REVISION={revision}", ".",
    )  # fmt: skip


def _base() -> None:
    """The image that the Containerfiles begin with, from its registry or made here."""
    if docker("images", "-q", BASE) or "Downloaded" in docker("pull", BASE, check=False):
        return
    if shutil.which("debootstrap") is None:
        _lacking(f"{BASE} cannot be pulled, and debootstrap is not here to make a stand-in")
    with tempfile.TemporaryDirectory(prefix="parfocal-base-") as name:
        root = Path(name, "root")
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root],
            text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-2000:]
        shutil.rmtree(root / "etc/ssl/certs")  # what this machine trusts, the builds trust; links are made files
        shutil.copytree("/etc/ssl/certs", root / "etc/ssl/certs", ignore_dangling_symlinks=True)
        for kept in (root / "var/cache/apt/archives", root / "var/lib/apt/lists"):
            shutil.rmtree(kept, ignore_errors=True)
        pack = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", BASE], stdin=pack.stdout, check=True, capture_output=True)
        assert pack.wait() == 0


@contextmanager
def torch_index() -> Iterator[str]:
    """An index with the CPU build of PyTorch that this Python's pip finds, at an address of this machine."""
    pin = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin is not None
    with tempfile.TemporaryDirectory(prefix="parfocal-index-") as name:
        folder = Path(name, "torch")
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, pin[0]]
        subprocess.run(download, check=True)
        (wheel,) = folder.glob("*.whl")
        assert wheel.stat().st_size < 400e6, f"{wheel.name} is not the CPU build"
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def owned(folder: Path) -> Path:
    """A folder that the images' user may write."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, *map(int, USER.split(":")))
    return folder
