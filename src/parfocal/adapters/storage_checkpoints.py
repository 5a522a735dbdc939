"""Checkpoints in an object store, so that a pod on another node goes on where no volume is shared.

``<state>/checkpoints/<key>/...`` is kept at ``PARFOCAL_CHECKPOINTS/<key>/...``, file by file: a checkpoint's tensors
first and the entry that names them last, as on a disk, and only then the older ones go. S3 shows an object when it is
whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parfocal.adapters.storage import plain
from parfocal.adapters.storage_remote import Remote, asked
from parfocal.core.errors import OutsideServiceError
from parfocal.training import place

CHECKPOINTS = "PARFOCAL_CHECKPOINTS"
"""Address below which the checkpoints of all keys are kept, such as s3://bucket/parfocal/checkpoints."""
ENTRY = ".json"
"""End of the names of files that say what others are; they come last, and without one the others are not there."""


class StoredCheckpoints:
    """`parfocal.core.protocols.CheckpointStore` through fsspec.

    Args:
        uri: where `base` is kept.
        base: folder of the checkpoints of one key.
    """

    def __init__(self, uri: str, base: Path) -> None:
        self._uri, self._base = uri, base.resolve()
        self._sent: dict[Path, tuple[int, int]] = {}

    def bring(self, folder: Path) -> None:
        """Bring what is kept and not here. A checkpoint that is here stays: an attempt on this machine wrote it."""
        uri = self._of(folder)
        remote = Remote(uri)
        with asked(uri):
            there = remote.listed()
            entries = [name for name in there if name.endswith(ENTRY) and not (folder / name).exists()]
            stems = tuple(name.removesuffix(ENTRY) + "." for name in entries)
            wanted = sorted((name for name in there if name.startswith(stems)), key=_last) if stems else []
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".brought-") as scratch:
                remote.get({name: Path(scratch) / name for name in wanted})
                for name in wanted:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(scratch) / name).replace(folder / name)

    def keep(self, folder: Path) -> None:
        """Send what has changed, entries last; then remove what the folder no longer has, entries first."""
        uri = self._of(folder)
        remote = Remote(uri)
        here = {file.name: file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")}
        with asked(uri):
            there = remote.listed()
            for name in sorted(here, key=_last):
                file = here[name]
                known = file.stat().st_mtime_ns, file.stat().st_size
                if self._sent.get(file) != known or name not in there:
                    remote.put({name: file})
                    self._sent[file] = known
            gone = [name for name in there if "/" not in name and name not in here]
            remote.remove(sorted(gone, key=_last, reverse=True))

    def drop(self) -> None:
        """Remove all of it."""
        remote = Remote(self._uri)
        with asked(self._uri):
            remote.remove(sorted(remote.listed(), key=_last, reverse=True))

    def _of(self, folder: Path) -> str:
        below = folder.resolve().relative_to(self._base).as_posix()
        return self._uri if below == "." else f"{self._uri}/{below}"


@contextmanager
def kept(state: Path, key: str) -> Iterator[StoredCheckpoints | None]:
    """The store of a key's checkpoints, emptied when the block ends well; None where the environment names none.

    Of several processes the first alone has one.
    """
    root = os.environ.get(CHECKPOINTS, "")
    if not root or place.follows():
        yield None
        return
    store = StoredCheckpoints(f"{root.rstrip('/')}/{plain(key)}", state / "checkpoints" / key)
    yield store
    with suppress(OutsideServiceError):  # what they led to is safe; a lifecycle rule removes what is left
        store.drop()


def _last(name: str) -> tuple[bool, str]:
    return name.endswith(ENTRY), name
