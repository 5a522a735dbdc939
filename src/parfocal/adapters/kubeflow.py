"""Kubeflow Pipelines: what is compiled and where, and what a component's body needs besides its step.

Running locally is in `kubeflow_local`, submitting to a cluster in `kubeflow_remote`, what a page shows in
`kubeflow_shown` and `kubeflow_training`; all are offered here by name.
kfp is imported when it is first used. The pipelines themselves are built on this package and never imported by it:
they are found as installed folders and compiled in a process of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from parfocal.adapters import storage, storage_kept
from parfocal.adapters.kubeflow_docker import Containers
from parfocal.adapters.kubeflow_local import LocalLauncher, LocalRun, run_local
from parfocal.adapters.kubeflow_remote import KubeflowLauncher, KubeflowSettings, Submitted, submit
from parfocal.adapters.kubeflow_schedule import Scheduled, schedule
from parfocal.adapters.kubeflow_shown import show_dataset, show_decision, show_evaluation
from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.adapters.kubeflow_training import show_training
from parfocal.adapters.settings import Settings
from parfocal.core import manifest
from parfocal.core.errors import ParfocalError, UsageError

__all__ = [
    "Compiled",
    "Containers",
    "KubeflowLauncher",
    "KubeflowSettings",
    "LocalLauncher",
    "LocalRun",
    "Scheduled",
    "Submitted",
    "available",
    "compile_all",
    "component",
    "components",
    "folder",
    "pipeline",
    "run_local",
    "schedule",
    "sealed",
    "show_dataset",
    "show_decision",
    "show_evaluation",
    "show_training",
    "submit",
]

SHARED = storage_kept.SHARED
"""Folder under one path in every pod of a cluster. Bundles name datasets and memories by path, and those must stay
there: on a volume that all pods share, or, with PARFOCAL_STORAGE, in an object store that each pod has a copy of."""


def available() -> dict[str, Path]:
    """The compiled pipelines by name: every `pipeline.yaml` in the installed package `parfocal_pipelines`."""
    return _compiled("parfocal_pipelines", "pipeline.yaml")


def components() -> dict[str, Path]:
    """The compiled components by name: every `component.yaml` in the installed package `parfocal_components`."""
    return _compiled("parfocal_components", "component.yaml")


def pipeline(name: str) -> Path:
    """The compiled pipeline of that name, or a file as it stands.

    Raises:
        UsageError: there is neither.
    """
    found = available()
    if name in found:
        return found[name]
    if Path(name).is_file():
        return Path(name)
    raise UsageError(f"there is no pipeline '{name}'", expected=f"one of {', '.join(found)}, or a compiled YAML file")


def component(name: str) -> Any:
    """One compiled component, loaded for a pipeline of somebody else's: ``kubeflow.component("retrain")``.

    Raises:
        UsageError: there is no component of that name.
    """
    from kfp import components as loader

    found = components()
    if name not in found:
        raise UsageError(f"there is no component '{name}'", expected=f"one of {', '.join(found)}")
    return loader.load_component_from_file(str(found[name]))


def compile_all(
    out: Path | None = None, placement: str = "", *, objects: bool = False, namespace: str = ""
) -> list[Path]:
    """Compile every component and pipeline anew, in a process of its own.

    Args:
        out: folder to write `components/` and `pipelines/` under; None writes each YAML beside its source.
        placement: name of a placement file that comes with the pipelines (``gpu``, ``cpu``), or a path of your own.
        objects: each pipeline also as Kubernetes' objects Pipeline and PipelineVersion, in `objects/` under `out`.
        namespace: of these objects; empty names none.

    Returns:
        The files written.

    Raises:
        UsageError: the placement is not valid.
        ParfocalError: a pipeline does not compile.
    """
    command = [sys.executable, "-m", "parfocal_pipelines.compile"]
    command += ["--out", str(out)] if out else []
    command += ["--placement", placement] if placement else []
    command += ["--objects", "--namespace", namespace] if objects else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        kind = UsageError if done.returncode == UsageError.exit_code else ParfocalError
        raise kind(f"compiling failed: {done.stderr.strip()[-2000:]}")
    return [Path(line) for line in done.stdout.splitlines()]


def folder(artifact: Any) -> Path:
    """Where an input artifact's files are: on the shared volume, if a step wrote them there, so that what is recorded
    of them holds in later pods; otherwise where Kubeflow has put them in this pod.

    With PARFOCAL_STORAGE, what is not here is fetched, and the datasets and the memory that a bundle names with it.

    Raises:
        DataContractError, OutsideServiceError: see `parfocal.adapters.storage`.
    """
    path = Path(artifact.path).absolute()
    kept = _on_shared(path)
    if kept is not None:
        storage_kept.fetch(kept)
    place = kept if kept is not None and kept.exists() else path
    if not place.exists() and storage.is_address(artifact.uri):  # kfp.local fetches nothing
        place = storage.fetch(artifact.uri, Settings().state / "cache")
    elif (place / manifest.MANIFEST).is_file() and manifest.read(place).kind == "experience":
        manifest.verify(place)  # no step does, and Kubeflow fetches object by object
    storage_kept.fetch_named(place)
    return place


@contextmanager
def sealed(*artifacts: Any) -> Iterator[tuple[Path, ...]]:
    """Where a step is to write the folders that become these output artifacts.

    That is the artifact's own path, which on a cluster is gone with the pod (Kubeflow copies it to its object store).
    Where PARFOCAL_SHARED names a folder that all pods see, the step writes there, so that the paths it records hold
    in every later pod, and the artifact gets a copy. With PARFOCAL_STORAGE they are stored as well. Of an exemplar
    memory, which is patients' images and can be purged, the artifact gets the manifest alone in both cases.
    Kind, checksum and version are added to the artifact's metadata. What an earlier attempt of this very task has left
    is removed first.
    """
    finals = [Path(artifact.path).absolute() for artifact in artifacts]
    places = [_on_shared(final) or final for final in finals]
    for leftover in {*finals, *places}:
        shutil.rmtree(leftover, ignore_errors=True)
    yield tuple(places)
    for artifact, final, place in zip(artifacts, finals, places, strict=True):
        made = manifest.read(place)
        elsewhere = storage_kept.store(place) or place != final
        if elsewhere and made.kind == "memory":
            final.mkdir(parents=True)
            shutil.copyfile(place / manifest.MANIFEST, final / manifest.MANIFEST)
        elif place != final:
            shutil.copytree(place, final)
        artifact.metadata.update(kind=made.kind, checksum=made.checksum, code_version=made.code_version)


def _on_shared(path: Path) -> Path | None:
    shared = os.environ.get(SHARED)
    return Path(shared, "artifacts", *path.parts[1:]) if shared else None


def _compiled(package: str, file: str) -> dict[str, Path]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"the package {package} is not installed", next="pip install 'parfocal[platform]'")
    (root,) = map(Path, spec.submodule_search_locations)
    return {found.parent.name: found for found in sorted(root.glob(f"*/{file}"))}
