"""Sealed folders in an object store, or on a volume that is mounted elsewhere too.

A folder lies there as it lies here, file by file, so that others (Kubeflow's importer) can read it as well. Its
manifest comes last: before that, nothing is there for whoever fetches, and what is fetched is held against it.

uploads     several files at a time; what an interrupted one has left there is not sent again
fetches     into a cache by the folder's checksum, or to a place of one's own; what an interrupted one has left is kept
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

from parfocal.adapters.storage_remote import Remote, asked
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.locks import alone, beside
from parfocal.core.manifest import MANIFEST, Manifest, sha256

CACHE_BYTES = 20 * 10**9
"""Of the cache; the folders that were longest not asked for go first, and none that a running process has asked for."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_used: dict[Path, IO[str]] = {}


def is_address(uri: str) -> bool:
    """Whether it is to be fetched, rather than a path."""
    return "://" in uri


def store(folder: Path, uri: str, *, replace: bool = False) -> str:
    """Put a sealed folder at `uri` and return `uri`; the same folder a second time sends nothing.

    Args:
        folder: checked against its manifest first.
        uri: of the folder itself, such as ``s3://bucket/parfocal/experiences/fundus/A/3``.
        replace: put it in the place of another, whose files are removed.

    Raises:
        DataContractError: `folder` is not whole.
        UsageError: another folder is there.
        OutsideServiceError: keys, bucket, server or network. Called again, it goes on.
    """
    sealed = manifest.verify(folder)
    remote = Remote(uri)
    with asked(uri):
        there = remote.read(MANIFEST)
        before = _parsed(there, uri) if there is not None else None
        if before and before.checksum != sealed.checksum and not replace:
            raise UsageError(
                f"another {before.kind} is stored there",
                where=uri,
                expected=f"nothing, or checksum {sealed.checksum[:16]}…",
                next="name another place: what is stored is not changed",
            )
        listed = remote.listed()
        missing = {name: Path(folder) / name for name in sealed.files}
        missing = {name: file for name, file in missing.items() if not remote.has(listed.get(name), file)}
        if before and before.checksum == sealed.checksum and not missing:
            return uri
        remote.put(missing)
        remote.remove(sorted(set(before.files) - set(sealed.files)) if before else [])
        remote.put({MANIFEST: Path(folder) / MANIFEST})
    return uri


def fetch(uri: str, cache: Path, kind: str | None = None, *, limit: int = CACHE_BYTES) -> Path:
    """Bring the folder at `uri` into the cache, once, and return where it is: ``cache/<checksum>``.

    Args:
        kind: of the folder, refused otherwise.
        limit: bytes of the cache.

    Raises:
        DataContractError: there is no whole folder, one of another kind, or one whose files were changed or cut short.
        OutsideServiceError: keys, bucket, server or network. Called again, it goes on.
    """
    remote = Remote(uri)
    with asked(uri):
        there = remote.read(MANIFEST)
        if there is None:
            raise DataContractError(
                "no whole folder is stored there",
                where=uri,
                expected=f"{MANIFEST}, which comes last, beside the files of a sealed folder",
                next="wait for its upload, or begin that again; copy what was never sealed yourself",
            )
        sealed = _parsed(there, uri, kind)
        target = Path(cache).resolve() / sealed.checksum
        target.parent.mkdir(parents=True, exist_ok=True)
        _use(target)
        with alone(beside(target)):  # who waited finds what the other has brought
            if not (target / MANIFEST).is_file():
                _bring(remote, there, sealed, target)
                _prune(target.parent, limit)
        os.utime(target)
    return target


def mirror(uri: str, place: Path) -> bool:
    """Bring the folder at `uri` to `place`, unless it, or a newer one, is there; False when nothing is stored.

    Raises:
        DataContractError: the stored files were changed or cut short.
        OutsideServiceError: keys, bucket, server or network. Called again, it goes on.
    """
    remote = Remote(uri)
    with asked(uri):
        there = remote.read(MANIFEST)
        if there is None:
            return False
        sealed = _parsed(there, uri)
        place.parent.mkdir(parents=True, exist_ok=True)
        with alone(beside(place)):
            here = manifest.read(place) if (place / MANIFEST).is_file() else None
            if here is None or (here.checksum != sealed.checksum and here.created <= sealed.created):
                _bring(remote, there, sealed, place)
    return True


def experience_uri(storage: str, task: str, instrument: str, number: int) -> str:
    """Where an experience is stored. What not every reader of an address takes as it stands is written otherwise."""
    return f"{storage.rstrip('/')}/experiences/{task}/{plain(instrument)}/{number}"


def plain(name: str) -> str:
    """A name as a part of an address."""
    found = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    # two names may differ in such a letter alone
    return found if found == name else f"{found}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _parsed(there: bytes, uri: str, kind: str | None = None) -> Manifest:
    """The manifest, with names that stay below the folder: a store is not to write elsewhere on this machine."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / MANIFEST).write_bytes(there)
        try:
            sealed = manifest.read(Path(scratch), kind)
        except DataContractError as error:
            raise DataContractError(error.what, where=uri, expected=error.expected, next=error.next) from None
    paths = [PurePosixPath(name) for name in sealed.files]
    if not _SHA256.fullmatch(sealed.checksum) or any(path.is_absolute() or ".." in path.parts for path in paths):
        raise DataContractError("the manifest names files outside its folder", where=f"{uri}/{MANIFEST}")
    return sealed


def _bring(remote: Remote, there: bytes, sealed: Manifest, target: Path) -> None:
    """Get what is missing beside `target`, hold it all against the manifest, and only then let it appear."""
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    partial.mkdir(exist_ok=True)
    for file in [file for file in partial.rglob("*") if file.is_file()]:
        if sealed.files.get(file.relative_to(partial).as_posix()) != sha256(file):
            file.unlink()  # cut off, or of another folder
    remote.get({name: partial / name for name in sealed.files if not (partial / name).is_file()})
    (partial / MANIFEST).write_bytes(there)
    try:
        manifest.verify(partial)
    except DataContractError as error:
        where = str(error.where).replace(str(partial), remote.uri)
        raise DataContractError(
            f"what is stored is damaged: {error.what}",
            where=where,
            expected=error.expected,
            next="store the folder anew, from where it was made",
        ) from None
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _use(target: Path) -> None:
    """Keep the folder in the cache as long as this process lives."""
    if target not in _used:
        _used[target] = target.with_name(f".{target.name}.used").open("a")
        fcntl.flock(_used[target], fcntl.LOCK_SH)


def _prune(cache: Path, limit: int) -> None:
    with alone(cache / ".prune.lock"):
        entries = sorted((e for e in cache.iterdir() if _SHA256.fullmatch(e.name)), key=lambda e: e.stat().st_mtime)
        sizes = {entry: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file()) for entry in entries}
        total = sum(sizes.values())
        for entry in entries:
            if total > limit and _removed(entry):
                total -= sizes[entry]


def _removed(entry: Path) -> bool:
    """Delete what nobody uses; who wants it meanwhile waits in `_use`, finds nothing, and brings it again."""
    with entry.with_name(f".{entry.name}.used").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(entry, ignore_errors=True)
    return True
