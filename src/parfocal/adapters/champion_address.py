"""The champion's bundle where a pod can fetch it.

A pod does not see this machine's folders, and Kubeflow's importer fetches from object stores alone: neither a folder
nor MLflow's own addresses (`mlflow-artifacts:`) mean anything to it.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from parfocal.adapters import Platform, storage
from parfocal.core import manifest
from parfocal.core.errors import UsageError

HERE = ("", "file", "mlflow-artifacts", "runs", "models")
"""Schemes that only this machine, or MLflow's own client, can follow."""


def champion_address(platform: Platform, reference: str, task: str) -> str:
    """Where a cluster's pods find a champion, which is stored below PARFOCAL_STORAGE where they could not yet.

    Args:
        reference: an address as it stands, a bundle's folder, or a version or alias of the registry.

    Raises:
        UsageError: nothing is called that, or pods could not fetch it and PARFOCAL_STORAGE is empty.
        DataContractError: the bundle is damaged.
        OutsideServiceError: the registry or the storage cannot be used.
    """
    if "://" in reference:
        return reference
    folder = Path(reference)
    if not folder.is_dir():
        version = platform.models.get(task, reference)
        if version is None:
            raise UsageError(
                f"there is no champion '{reference}' of {task}",
                next="run the pipeline `initial` first, or name a bundle",
            )
        if urlparse(version.uri).scheme not in HERE:
            return version.uri
        _demand_storage(platform, version.uri)
        folder = platform.models.fetch(task, reference, platform.settings.state / "models")
    _demand_storage(platform, str(folder))
    checksum = manifest.verify(folder, "bundle").checksum
    return storage.store(folder, f"{platform.settings.storage.rstrip('/')}/bundles/{task}/{checksum}")


def _demand_storage(platform: Platform, place: str) -> None:
    if not platform.settings.storage:
        raise UsageError(
            "a pod cannot fetch the champion from there", where=place, expected="an address such as s3://bucket/bundle",
            next="set PARFOCAL_STORAGE, and its bundle is stored below that; or name one that is stored",
        )  # fmt: skip
