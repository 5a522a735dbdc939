"""Steps that train on several nodes: sent away by one process, done there by many, and what went wrong told back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError, UsageError
from parfocal.core.protocols import Executor, Reporter, Work
from parfocal.training import place

JOB = "PARFOCAL_JOB"
"""Folder of the job that a process is part of; set for the processes that do what was sent away."""
_FAILURE = "failure-{}.json"
_KINDS = {kind.exit_code: kind for kind in (UsageError, DataContractError, OutsideServiceError)}
FINAL = (UsageError.exit_code, DataContractError.exit_code)
"""Exit codes after which another attempt would end alike."""


class ExecutorConfig(Config):
    """Where `train` and `retrain` are done. What a node is, and which cluster, is said by the environment."""

    name: Literal["local", "trainjob"] = Field(
        default="local", description="local: in the step's own process; trainjob: on several nodes by Kubeflow Trainer"
    )
    nodes: int = Field(default=1, ge=1, description="machines, with trainjob")
    processes: int | None = Field(
        default=None,
        ge=1,
        description="on each machine, with trainjob; none: one an accelerator, or one. train.batch_size is that of all "
        "processes together and must be a multiple of their number",
    )


def sent(config: ExecutorConfig, executor: Executor | None, work: Work, reporter: Reporter) -> bool:
    """Have `work` done where `config` says, if that is not here; whether it was.

    Raises:
        UsageError: elsewhere, and nobody gave an executor.
    """
    if config.name == "local" or JOB in os.environ:
        return False
    if executor is None:
        raise UsageError(
            "nobody here can start a TrainJob",
            where="executor.name",
            expected="local, or a step of `parfocal` or of Kubeflow",
        )
    executor.execute(work, reporter)
    return True


def refuse_uneven(config: ExecutorConfig, batch_size: int) -> None:
    """Refuse a batch that the processes cannot share, before a job is asked for or a picture is read.

    Raises:
        UsageError: it is no multiple of their number, or of the nodes where that number is not known here.
    """
    away = config.name != "local" and JOB not in os.environ
    processes = config.nodes * (config.processes or 1) if away else place.world()
    if batch_size % processes:
        raise UsageError(
            f"a batch of {batch_size} cannot be divided among {processes} processes",
            where="train.batch_size",
            expected=f"a multiple of {processes}",
        )


def work(
    step: str,
    arguments: Mapping[str, Path | None],
    inputs: tuple[Path, ...],
    config: Config,
    executor: ExecutorConfig,
    *,
    key: str,
    state: Path,
) -> Work:
    """A step on `inputs` with options that are folders; None leaves an option out."""
    options = {name: folder.resolve() for name, folder in arguments.items() if folder is not None}
    named = tuple(folder.resolve() for folder in inputs)
    words = (*map(str, named), *(word for name, folder in options.items() for word in (name, str(folder))))
    return Work(
        step=step,
        arguments=words,
        folders=(*named, *options.values()),
        config=config.canonical_json(),
        key=key,
        nodes=executor.nodes,
        processes=executor.processes,
        state=state.resolve(),
    )


@contextmanager
def told() -> Iterator[None]:
    """Leave an error in the job's folder for whoever sent the work away, and raise it."""
    try:
        yield
    except Exception as error:
        folder = os.environ.get(JOB)
        if folder:
            known = error if isinstance(error, ParfocalError) else ParfocalError(f"{type(error).__name__}: {error}")
            values = {name: getattr(known, name) for name in ("exit_code", "what", "where", "expected", "next")}
            manifest.write_atomic(Path(folder) / _FAILURE.format(place.rank()), json.dumps(values))
        raise


def failure(folder: Path) -> ParfocalError | None:
    """The error that ended a job's step, None where there is none.

    When one process fails the others lose it and fail too: an error in this program's words comes before any other,
    then the earlier one.
    """
    found = []
    for file in folder.glob(_FAILURE.format("*")):
        values = json.loads(file.read_text())
        kind = _KINDS.get(values.pop("exit_code"), ParfocalError)
        error = kind(values.pop("what"), **values)
        found.append((error.exit_code == ParfocalError.exit_code, file.stat().st_mtime_ns, error))
    return min(found, key=lambda one: one[:2])[2] if found else None


def forget(folder: Path) -> None:
    """Remove the errors of an earlier attempt."""
    for file in folder.glob(_FAILURE.format("*")):
        file.unlink(missing_ok=True)
