"""Run a compiled pipeline on this machine with `kfp.local`: the same YAML that goes to a cluster, a process a step."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from parfocal.adapters import kubeflow_docker
from parfocal.adapters.kubeflow_docker import Containers
from parfocal.adapters.kubeflow_log import StepLog
from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.adapters.settings import Settings
from parfocal.core.errors import ParfocalError, UsageError
from parfocal.core.manifest import write_atomic
from parfocal.core.protocols import Reporter
from parfocal.core.reporting import JsonLines, Silent

REQUEST, STATE, LOCK = "request.json", "state.json", "lock"


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A pipeline that has run to its end.

    Attributes:
        pipeline: its name.
        outputs: output to value, or to the path of the folder; `evaluation` has report.html and summary.md.
        log: everything the steps printed.
    """

    pipeline: str
    outputs: Mapping[str, str]
    log: str


def run_local(
    pipeline: Path,
    arguments: Mapping[str, str],
    root: Path,
    *,
    reporter: Reporter | None = None,
    containers: Containers | None = None,
) -> LocalRun:
    """Execute a compiled pipeline, each step in a process of its own with this Python, and wait for its end.

    Placement (resources, volumes, time limits) has no effect here, and nothing is retried. `kfp.local` keeps its
    settings in one place for the whole process and prints to standard output: one call at a time.

    Args:
        pipeline: compiled YAML.
        arguments: exactly those of the pipeline. Paths may be relative to the working directory.
        root: the folders of all steps are made under it and stay: later bundles name them by path.
        reporter: hears what the steps report.
        containers: each step in a container instead, of the image that the pipeline names.

    Raises:
        UsageError: the arguments are not the pipeline's, or there is no such image.
        OutsideServiceError: there is no container engine.
        ParfocalError: a step failed, of the class that the step raised, with its sentence; the log's path is in it.
    """
    spec = Compiled.read(pipeline)
    values = {name: _absolute(name, value) for name, value in spec.check(arguments).items()}
    root = Path(root).absolute()
    if containers is not None:
        kubeflow_docker.check([containers.image] if containers.image else spec.images)
    root.mkdir(parents=True, exist_ok=True)
    file = root / f"{spec.name}-{datetime.now().astimezone():%Y%m%d-%H%M%S-%f}.log"
    with file.open("w", buffering=1) as stream:
        log = StepLog(stream, reporter or Silent())
        with redirect_stdout(log), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = _execute(spec, values, root, log, file, containers)
    return LocalRun(spec.name, outputs, str(file))


def _execute(
    spec: Compiled, values: Mapping[str, Any], root: Path, log: StepLog, file: Path, containers: Containers | None
) -> dict[str, str]:
    from kfp import components, dsl, local

    with tempfile.TemporaryDirectory(prefix="parfocal-") as workspace, _runner(values, containers) as runner:
        local.init(runner, pipeline_root=str(root), workspace_root=workspace)
        run: Any = components.load_component_from_text(spec.for_this_machine())
        try:
            outputs = run(**values).outputs
        except RuntimeError as error:
            if not log.step:
                raise ParfocalError(f"kfp.local failed: {error}", where=file) from None
            raise log.error(file) from None
    return {name: value.path if isinstance(value, dsl.Artifact) else str(value) for name, value in outputs.items()}


@contextmanager
def _runner(values: Mapping[str, Any], containers: Containers | None) -> Iterator[Any]:
    """What starts the steps: this Python, or a container engine."""
    if containers is None:
        from kfp import local

        yield local.SubprocessRunner(use_venv=False)
        return
    read = kubeflow_docker.named(values)
    with kubeflow_docker.runner(containers, Settings().state.absolute(), read) as runner:
        yield runner


def _absolute(name: str, value: Any) -> Any:
    """With every folder by its whole path: the steps' working directory is another."""
    if name == "experiences":
        return {instrument: _absolute("_uri", place) for instrument, place in value.items()}
    return str(Path(value).absolute()) if name.endswith("_uri") and "://" not in value else value


class LocalLauncher:
    """`parfocal.core.protocols.Launcher` on this machine: a process group a run, and its state in files.

    A run's id is its name, as that of a folder. A name that runs or has succeeded is not started again; one that failed
    is. The run's process inherits a locked file, so whether it lives is known for certain, also to a launcher that was
    restarted.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def launch(self, pipeline: Path, arguments: Mapping[str, str], *, name: str) -> str:
        """Start the pipeline in a process of its own, unless a run of that name is on its way or done."""
        values = Compiled.read(pipeline).check(arguments)
        run_id = _identifier(name)
        folder = self.root / run_id
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            if not _taken(lock.fileno()) or _said(folder) == "succeeded":
                return run_id
            (folder / STATE).unlink(missing_ok=True)
            request = {"pipeline": str(Path(pipeline).absolute()), "arguments": values}
            write_atomic(folder / REQUEST, json.dumps(request, indent=1))
            with (folder / "output.log").open("a") as output:
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", __name__, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
        return run_id

    def state(self, run_id: str) -> str:
        """``pending``, ``running``, ``succeeded``, ``failed`` (also when it was killed) or ``cancelled``."""
        folder = self.root / run_id
        if not (folder / LOCK).is_file():
            raise UsageError(f"there is no run '{run_id}'", where=self.root)
        with (folder / LOCK).open() as lock:
            dead = _locked(lock.fileno(), fcntl.LOCK_SH)
            said = _said(folder)
        over = said not in ("pending", "running")
        if dead:
            return said if over else "failed"
        # It has said its last word but is not gone yet: until then it cannot be launched again.
        return "running" if over else said

    def result(self, run_id: str) -> dict[str, Any]:
        """What the run left: ``state``, and ``outputs`` or ``error``."""
        file = self.root / run_id / STATE
        return dict(json.loads(file.read_text())) if file.is_file() else {"state": self.state(run_id)}


def _identifier(name: str) -> str:
    """A name as that of a folder. Two names never share one: `B 1` that has succeeded is no reason to leave `B-1`."""
    found = re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".")
    if not found:
        raise UsageError("a run needs a name")
    return found if found == name else f"{found}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take the lock if nobody holds it. It is held by whoever has the open file, here or in a child.

    A run has it to itself (LOCK_EX); who only looks shares it (LOCK_SH) and keeps no other from looking.
    """
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(descriptor: int) -> bool:
    """Take the lock to oneself, as soon as nobody looks; False when a run has it."""
    while not _locked(descriptor):
        if not _locked(descriptor, fcntl.LOCK_SH):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.01)
    return True


def _said(folder: Path) -> str:
    try:
        return str(json.loads((folder / STATE).read_text())["state"])
    except FileNotFoundError:
        return "pending"


def _work(folder: Path) -> None:
    """The launched process: run what the request says and write down how it went."""
    signal.signal(signal.SIGTERM, _stop)
    request = json.loads((folder / REQUEST).read_text())

    def say(state: str, **more: object) -> None:
        write_atomic(folder / STATE, json.dumps({"state": state, "pid": os.getpid(), **more}, indent=1))

    say("running")
    try:
        done = run_local(
            Path(request["pipeline"]), request["arguments"], folder / "steps", reporter=JsonLines(sys.stderr)
        )
    except KeyboardInterrupt:
        say("cancelled")
        raise
    except Exception as error:
        code = error.exit_code if isinstance(error, ParfocalError) else 1
        say("failed", error=str(error), exit_code=code)
        raise
    say("succeeded", **asdict(done))


def _stop(*_: object) -> NoReturn:
    """Told to end: so is the step that is running, which is in the same process group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    raise KeyboardInterrupt


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
