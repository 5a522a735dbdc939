"""Folders below PARFOCAL_SHARED, whose paths bundles name, and their copies below PARFOCAL_STORAGE.

With both set, PARFOCAL_SHARED may be a folder of each pod's own: what a step reads there is fetched before, and what it
writes is stored after. ``<shared>/artifacts/x`` is stored at ``<storage>/artifacts/x``. With one of them set, nothing
here does anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from parfocal.adapters import storage
from parfocal.core.bundle import BUNDLE

SHARED, STORAGE = "PARFOCAL_SHARED", "PARFOCAL_STORAGE"
NAMING = (BUNDLE, "pretrained.json")
"""Files of a folder that name others which a step will read."""


def uri_of(place: Path) -> str:
    """Where a folder below PARFOCAL_SHARED is stored; empty where nothing is stored, or the folder is elsewhere."""
    shared, root = os.environ.get(SHARED), os.environ.get(STORAGE)
    if not shared or not root or not place.resolve().is_relative_to(Path(shared).resolve()):
        return ""
    return f"{root.rstrip('/')}/{place.resolve().relative_to(Path(shared).resolve()).as_posix()}"


def fetch(place: Path) -> None:
    """Bring it here, if it is stored and not here yet.

    Raises:
        DataContractError, OutsideServiceError: see `storage.mirror`.
    """
    if uri := uri_of(place):
        storage.mirror(uri, place)


def fetch_named(folder: Path) -> None:
    """Bring the datasets and the exemplar memory here that a bundle or a pretrained network names."""
    for place in _named(folder, ("datasets", "memory_uri")):
        fetch(place)


def fetch_memory(folder: Path) -> None:
    """Bring a memory here, or the one that a bundle names."""
    fetch(folder)
    for place in _named(folder, ("memory_uri",)):
        fetch(place)


def store(place: Path) -> bool:
    """Store a sealed folder, in the place of what an earlier attempt stored; whether it is stored now."""
    if uri := uri_of(place):
        storage.store(place, uri, replace=True)
    return bool(uri)


def _named(folder: Path, keys: tuple[str, ...]) -> Iterator[Path]:
    for file in (folder / name for name in NAMING):
        if file.is_file():
            with suppress(ValueError, KeyError, TypeError):  # the step says what is wrong with it
                said = json.loads(file.read_text())
                named = [one["uri"] for one in said["datasets"]] if "datasets" in keys else []
                yield from map(Path, filter(None, [*named, said.get("memory_uri", "")]))
