"""Run a pipeline's steps in containers on this machine, shut in as a cluster shuts them in.

`kfp.local.DockerRunner` lets Docker remove a container as soon as it has ended and takes one that is gone for one that
succeeded: a step that fails at once is then a success now and then. Here a container stays until its status was read.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from parfocal.core.errors import OutsideServiceError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

LABEL = "dev.parfocal.step"
"""Of every container that is started here, so that those of a run that was killed can be found."""
PASSED = ("PARFOCAL_", "MLFLOW_", "AWS_")
"""Beginnings of the environment's variables that steps see."""


@dataclass(frozen=True, slots=True)
class Containers:
    """What a step's container may have.

    Attributes:
        image: of all steps, in place of what the compiled pipeline says; "": as it says.
        user: ``uid:gid``; "": whoever runs this. It must be able to write where the steps' folders are made.
        memory: of a step, as Docker writes it.
        cpus: of a step.
        network: ``none``, or ``host`` where MLflow or the database is a server.
        mounts: folders that steps may write, besides those of the run, the state folder and PARFOCAL_SHARED.
    """

    image: str = ""
    user: str = ""
    memory: str = "4g"
    cpus: float = 2.0
    network: str = "none"
    mounts: tuple[Path, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Those of `docker run` that shut a step in: what Kubernetes calls the restricted profile."""
        return {
            "user": self.user or f"{os.getuid()}:{os.getgid()}",
            "mem_limit": self.memory,
            "memswap_limit": self.memory,
            "nano_cpus": int(self.cpus * 1e9),
            "network_mode": self.network,
            "read_only": True,
            "tmpfs": {"/tmp": "rw,exec,mode=1777"},  # noqa: S108
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": 4096,
            "labels": {LABEL: "yes"},
        }


def check(images: Sequence[str]) -> None:
    """See that the engine answers and has the images.

    Raises:
        UsageError: it lacks one.
        OutsideServiceError: there is no engine.
    """
    import docker

    try:
        client = docker.from_env()
        try:
            for image in images:
                client.images.get(image)
        finally:
            client.close()
    except docker.errors.ImageNotFound:
        raise UsageError(f"there is no image {image}", next="make images, or pull it") from None
    except docker.errors.DockerException as error:
        raise OutsideServiceError(
            f"no container engine answers: {error}", where=os.environ.get("DOCKER_HOST", "the default socket"),
            next="start one, or run the pipeline without containers",
        ) from None  # fmt: skip


@contextmanager
def runner(containers: Containers, state: Path, read: Sequence[Path]) -> Iterator[Any]:
    """A runner for `kfp.local.init` that keeps a container until its status is read.

    Args:
        containers: what a step may have.
        state: folder that the steps write, as they do without containers.
        read: folders that they may read.
    """
    from kfp import local
    from kfp.local import docker_task_handler as handler

    writable = {state, *containers.mounts, *_shared()}
    extra = {str(folder): {"bind": str(folder), "mode": "ro"} for folder in read}
    extra |= {str(folder): {"bind": str(folder), "mode": "rw"} for folder in writable}
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    passed["PARFOCAL_STATE"] = str(state)

    def run(client: DockerClient, image: str, command: list[str], volumes: Mapping[str, Any], **arguments: Any) -> int:
        named = arguments.pop("environment", {})
        return _run(
            client,
            image=containers.image or image,
            command=command,
            volumes=dict(volumes) | extra,
            environment=passed | named,
            **arguments,
        )

    with mock.patch.object(handler, "run_docker_container", run):
        yield local.DockerRunner(**containers.arguments())


def named(values: Mapping[str, Any]) -> list[Path]:
    """Folders of this machine among a pipeline's arguments: every ``*_uri``, and those of ``experiences``, a mapping
    of instruments."""
    uris = [value for name, value in values.items() if name.endswith("_uri")]
    uris += dict(values.get("experiences") or {}).values()
    return [Path(uri) for uri in uris if uri and "://" not in uri]


def _shared() -> list[Path]:
    named = os.environ.get("PARFOCAL_SHARED", "")
    return [Path(named).absolute()] if named and "://" not in named else []


def _run(client: DockerClient, **arguments: Any) -> int:
    """Start a container, print what it says, and return its exit status; it is removed after that, and not before."""
    for folder in arguments["volumes"]:  # Docker would make a missing one, as root
        Path(folder).mkdir(parents=True, exist_ok=True)
    container = client.containers.create(**arguments)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        container.start()
        for chunk in container.logs(stream=True, follow=True):
            print(decoder.decode(chunk), end="")  # noqa: T201  # kfp.local indents it and the log keeps it
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)
