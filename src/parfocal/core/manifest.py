"""Folders that are whole or not there: atomic writes, checksums and lineage.

Every stage writes one folder. Inside it `manifest.json` names what it is, what it was made from and the SHA-256 of
every file. The folder is built beside its final place, flushed to disk and renamed, so a killed or failed stage
leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from parfocal import __version__
from parfocal.core.errors import DataContractError, UsageError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Parent:
    """A folder that another was made from."""

    kind: str
    uri: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder is and where it came from.

    Attributes:
        kind: ``dataset``, ``pretrained``, ``bundle``, ``memory``, ``evaluation``, ``promotion``.
        checksum: SHA-256 over the sorted (path, SHA-256) pairs of the payload; the folder's identity.
    """

    kind: str
    checksum: str
    files: Mapping[str, str]
    parents: tuple[Parent, ...] = ()
    created: str = ""
    code_version: str = __version__
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def parent(self, folder: Path) -> Parent:
        """This folder as it is named in the manifest of one made from it."""
        return Parent(self.kind, str(folder.resolve()), self.checksum)


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(file: Path, content: bytes | str) -> None:
    """Replace a file in one step: temporary sibling, flush to disk, rename."""
    data = content.encode() if isinstance(content, str) else content
    temporary = file.with_name(f".{file.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_folder(file.parent)


@contextmanager
def new_folder(
    out: Path,
    kind: str,
    *,
    parents: Sequence[Parent] = (),
    seed: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """Yield a scratch folder; when the block ends well, seal it with a manifest and rename it to `out`.

    Raises:
        UsageError: `out` is there already and is not empty, or is when the block ends. Nothing is ever overwritten.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("the output is already there", where=out, next="name another folder, or remove this one")
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in out.parent.glob(f".{out.name}.*.partial"):
        if not _alive(stale):
            shutil.rmtree(stale, ignore_errors=True)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.{uuid4().hex[:6]}.partial")
    scratch.mkdir()
    try:
        yield scratch
        seal(scratch, kind, parents=parents, seed=seed, config=config)
        _appear(scratch, out)
        _fsync_folder(out.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _appear(scratch: Path, out: Path) -> None:
    try:
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise UsageError("another process has written the output meanwhile", where=out, next="name another") from None


def seal(
    folder: Path,
    kind: str,
    *,
    parents: Sequence[Parent] = (),
    seed: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write `manifest.json` for everything now in `folder` and flush it all to disk."""
    payload = _payload(folder)
    with ThreadPoolExecutor(16) as pool:  # a disk flushes many files at a time several times faster than in turn
        digests = list(pool.map(_flushed, payload))
    files = {file.relative_to(folder).as_posix(): digest for file, digest in zip(payload, digests, strict=True)}
    manifest = Manifest(
        kind=kind,
        checksum=_identity(files),
        files=files,
        parents=tuple(parents),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        config=dict(config or {}),
    )
    write_atomic(folder / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    return manifest


def read(folder: Path, kind: str | None = None) -> Manifest:
    """Read a folder's manifest without hashing its files.

    Raises:
        DataContractError: no manifest, one that cannot be read, or another kind of folder.
    """
    file = Path(folder) / MANIFEST
    try:
        values = json.loads(file.read_text())
        values["parents"] = tuple(Parent(**parent) for parent in values["parents"])
        manifest = Manifest(**values)
    except FileNotFoundError:
        raise DataContractError(
            "this folder has no manifest",
            where=folder,
            expected=f"a finished {kind or 'stage'} folder",
            next="run the stage that makes it again; an interrupted stage leaves no folder behind",
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataContractError(f"the manifest cannot be read: {error}", where=file) from None
    if kind is not None and manifest.kind != kind:
        raise DataContractError(f"this is a {manifest.kind}, not a {kind}", where=folder)
    return manifest


def verify(folder: Path, kind: str | None = None) -> Manifest:
    """Read the manifest and hash every file against it.

    Raises:
        DataContractError: a file is missing, added or changed; the message names it.
    """
    manifest = read(folder, kind)
    present = {file.relative_to(folder).as_posix(): file for file in _payload(folder)}
    for name, expected in manifest.files.items():
        if name not in present:
            raise DataContractError("a file is missing", where=Path(folder) / name, next="restore or remake the folder")
        if sha256(present[name]) != expected:
            raise DataContractError(
                "a file has changed since it was sealed",
                where=present[name],
                expected=f"SHA-256 {expected[:16]}…",
                next="restore or remake the folder; do not edit sealed folders",
            )
    extra = sorted(set(present) - set(manifest.files))
    if extra:
        raise DataContractError("a file was added to a sealed folder", where=Path(folder) / extra[0])
    if manifest.checksum != _identity(manifest.files):
        raise DataContractError("the manifest disagrees with itself", where=Path(folder) / MANIFEST)
    return manifest


def _flushed(file: Path) -> str:
    """SHA-256 of a file that is on the disk when this returns."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        os.fsync(stream.fileno())
    return digest


def _identity(files: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in sorted(files.items())).encode()).hexdigest()


def _payload(folder: Path) -> list[Path]:
    return sorted(
        file for file in Path(folder).rglob("*") if file.is_file() and file.relative_to(folder).as_posix() != MANIFEST
    )


def _alive(partial: Path) -> bool:
    """Whether the process that is writing a `.partial` folder still runs."""
    try:
        os.kill(int(partial.name.rsplit(".", 3)[1]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
