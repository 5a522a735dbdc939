"""One folder in an object store or on a volume, through fsspec: `s3://`, `minio://` (Kubeflow's word for S3), `file://`.

Address and keys of S3 are the usual ones of AWS: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or the
pod's identity. fsspec and s3fs are imported when something is first stored or fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.manifest import sha256, write_atomic

THREADS = 16
"""Objects on their way at a time: most are photographs of a megabyte or less, and the round trip is what costs."""
CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 10, 60, 3
RIGHTS = "s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject below the address"


class Remote:
    """The objects below one address.

    Raises:
        UsageError: nothing here speaks the address's protocol.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        scheme, _, place = self.uri.partition("://")
        s3 = scheme in ("s3", "minio")
        try:
            from fsspec.core import url_to_fs  # which knows other stores by their packages: gcsfs, adlfs

            found: tuple[Any, str] = (_s3(_keys()), place) if s3 else url_to_fs(self.uri)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"this address cannot be used: {error}",
                where=uri,
                expected="s3://bucket/path, or file:///path on a volume",
                next="pip install 'parfocal[platform]', which has s3fs",
            ) from None
        self._files, self._root = found
        self._local = "file" in self._files.protocol

    def read(self, name: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        try:
            return bytes(self._files.cat_file(self._at(name)))
        except FileNotFoundError as error:
            if _no_bucket(error):
                raise
            return None

    def listed(self) -> dict[str, Mapping[str, Any]]:
        """What is known of each object without reading it, by its name below the address."""
        found = self._files.find(self._root, detail=True)
        return {path.removeprefix(self._root).lstrip("/"): known for path, known in found.items()}

    def has(self, known: Mapping[str, Any] | None, file: Path) -> bool:
        """Whether an object that was listed is this file. Where the store does not say (an ETag that is no MD5): no."""
        if known is None or known["size"] != file.stat().st_size:
            return False
        if self._local:
            return sha256(Path(known["name"])) == sha256(file)
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return str(known.get("ETag", "")).strip('"') == digest

    def put(self, files: Mapping[str, Path]) -> None:
        """Write objects, several at a time, each whole or not at all."""
        _each({name: (self._put, self._at(name), file) for name, file in files.items()})

    def get(self, files: Mapping[str, Path]) -> None:
        """Read objects into files, several at a time. One that is cut off leaves half a file."""
        for folder in {file.parent for file in files.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        _each({name: (self._files.get_file, self._at(name), str(file)) for name, file in files.items()})

    def remove(self, names: Iterator[str] | list[str]) -> None:
        for name in names:
            self._files.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _put(self, path: str, file: Path) -> None:
        if self._local:  # fsspec copies in place: a killed copy would stand there under its final name
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(Path(path), file.read_bytes())
        else:
            self._files.put_file(str(file), path)


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """What the store, or the way there, says in this program's words.

    Raises:
        OutsideServiceError: keys, bucket, server or network. The same may be tried again.
    """
    try:
        yield
    except PermissionError as error:
        raise OutsideServiceError(
            f"the storage does not let us in: {error}",
            where=uri,
            expected=RIGHTS,
            next="look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or at the identity of the pod",
        ) from None
    except FileNotFoundError as error:
        what = "there is no such bucket" if _no_bucket(error) else f"an object is gone: {error}"
        raise OutsideServiceError(what, where=uri, next="look at the address and at AWS_ENDPOINT_URL") from None
    except Exception as error:
        if not isinstance(error, (OSError, *_foreign())):
            raise
        raise OutsideServiceError(
            f"the storage cannot be used: {error}",
            where=uri,
            next="look at AWS_ENDPOINT_URL, at the keys and at the way there, then do the same again: it goes on",
        ) from None


def _keys() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@cache
def _s3(keys: tuple[tuple[str, str], ...]) -> Any:  # noqa: ARG001
    """A client, which takes a third of a second to make; another one when the environment names other keys."""
    import s3fs

    return s3fs.S3FileSystem(
        skip_instance_cache=True,
        use_listings_cache=False,  # another process may have written since
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            "retries": {"max_attempts": ATTEMPTS},
            "max_pool_connections": THREADS,
            # Every file is held against its SHA-256 here; not every store knows the newer checksums of S3.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )


def _each(work: Mapping[str, tuple[Any, ...]]) -> None:
    """Call all, several at a time; the first error ends it, and what has not begun is left."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        for future in [pool.submit(*call) for call in work.values()]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _no_bucket(error: FileNotFoundError) -> bool:
    return "bucket does not exist" in str(error)


def _foreign() -> tuple[type[Exception], ...]:
    """Errors of the libraries below that are no OSError."""
    try:
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError
        from botocore.exceptions import ClientError as Refused
    except ImportError:
        return ()
    return (BotoCoreError, Refused, ClientError)
