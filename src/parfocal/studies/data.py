"""From folders of a person's images, or from none, to the data sets of a study: preprocessed once, then found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.core.protocols import Reporter
from parfocal.studies import code
from parfocal.studies.cache import locked
from parfocal.studies.study import Data, Need

PHANTOM = "phantom.json"


class Source(Config):
    """A folder of images and how it is laid out."""

    folder: Path
    reader: str = Field(default="folder", description="member of the family readers")


def assign(needs: Sequence[Need], sources: Mapping[str, Source]) -> dict[str, tuple[Need, str, Source | None]]:
    """Which source serves which role: by name where the names are roles, else in the order given.

    Returns:
        By role: the need, the name in tables, and the source, None for phantoms. With sources, roles that none serves
        are left out.

    Raises:
        UsageError: more sources than roles, or names that are roles in part.
    """
    roles = [need.role for need in needs]
    if not sources:
        return {need.role: (need, need.label, None) for need in needs}
    named = [name for name in sources if name in roles]
    if len(named) not in (0, len(sources)) or len(sources) > len(roles):
        raise UsageError(
            f"--data names {', '.join(sources)}",
            expected=f"at most {len(roles)}: all of {', '.join(roles)}, or other names in that order",
        )
    by_role = sources if named else dict(zip(roles, sources.values(), strict=False))
    labels = {role: role for role in roles} if named else dict(zip(roles, sources, strict=False))
    return {need.role: (need, labels[need.role], by_role[need.role]) for need in needs if need.role in by_role}


def prepare(need: Need, label: str, source: Source | None, state: Path, reporter: Reporter) -> Data:
    """The sealed dataset of one role; made when it is not there.

    Raises:
        DataContractError: the source is not what the reader reads, or has too few cases.
    """
    from parfocal.steps import preprocess
    from parfocal.steps.config import RunConfig

    settings = _settings(need, label, source)
    parts = [settings, dict(need.phantom) if source is None else _fingerprint(source.folder), code.preparing()]
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = state / "studies" / "data" / name
    with locked(folder):
        if not folder.exists():
            place = source.folder if source else _phantoms(folder.with_name(f"{name}-source"), need)
            preprocess.run(place, folder, RunConfig.parse(settings), champion=None, reporter=reporter)
    return Data(need.role, label, folder, manifest.read(folder, "dataset").checksum, phantom=source is None)


def _settings(need: Need, label: str, source: Source | None) -> dict[str, Any]:
    reading = {"reader": source.reader if source else "phantom", "instrument": label}
    return {**need.settings, "task": need.task, "data": reading}


def _phantoms(folder: Path, need: Need) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write_atomic(folder / PHANTOM, json.dumps(dict(need.phantom)))
    return folder


def _fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    """Every file's path, size and time of change: what was preprocessed is not looked for among other files."""
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=folder, expected="a folder of images (--data NAME=FOLDER)")
    found = ((file.relative_to(folder).as_posix(), file.stat()) for file in folder.rglob("*") if file.is_file())
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)
