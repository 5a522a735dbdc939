import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_kit import BUCKET, S3, folder, serving

from parfocal.adapters import storage
from parfocal.adapters.storage_remote import Remote
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, OutsideServiceError, UsageError


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with serving() as s3:
        yield s3


@pytest.fixture
def s3(server: S3) -> Iterator[S3]:
    yield server
    for key in server.written():
        server.client().delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture(params=["s3", "minio", "file"])
def root(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> str:
    return f"file://{tmp_path / 'volume'}" if request.param == "file" else f"{request.param}://{BUCKET}/parfocal"


def test_what_is_stored_is_fetched_whole_and_once(root: str, tmp_path: Path) -> None:
    made, uri = folder(tmp_path / "made"), f"{root}/experiences/fundus/A/1"
    assert storage.store(made, uri) == uri
    fetched = storage.fetch(uri, tmp_path / "cache", "dataset")
    assert manifest.verify(fetched).checksum == fetched.name == manifest.read(made).checksum
    assert (fetched / "manifest.json").read_bytes() == (made / "manifest.json").read_bytes()
    before = (fetched / "part 0" / "0.txt").stat().st_ino
    assert storage.fetch(uri, tmp_path / "cache") == fetched
    assert (fetched / "part 0" / "0.txt").stat().st_ino == before
    with pytest.raises(DataContractError, match="this is a dataset, not a bundle"):
        storage.fetch(uri, tmp_path / "cache", "bundle")


def test_another_folder_does_not_take_its_place_unless_told_and_then_leaves_nothing(root: str, tmp_path: Path) -> None:
    uri, place = f"{root}/memory", tmp_path / "here" / "memory"
    storage.store(folder(tmp_path / "one", "memory", 6), uri)
    assert storage.mirror(uri, place)
    purged = folder(tmp_path / "two", "memory", 2, "other")
    with pytest.raises(UsageError, match="another memory is stored there"):
        storage.store(purged, uri)
    storage.store(purged, uri, replace=True)
    assert set(Remote(uri).listed()) == {*manifest.read(purged).files, "manifest.json"}
    assert storage.mirror(uri, place)
    assert manifest.verify(place).checksum == manifest.read(purged).checksum
    assert [path.name for path in place.parent.iterdir() if not path.name.endswith(".lock")] == ["memory"]


def test_a_newer_folder_here_is_not_undone_by_what_is_stored(s3: S3, tmp_path: Path) -> None:
    """A memory that was purged where nobody named the storage: its pictures do not come back."""
    uri, place = f"s3://{BUCKET}/memory", folder(tmp_path / "memory", "memory", 2)
    storage.store(folder(tmp_path / "old", "memory", 6), uri)
    text = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(text.replace('"created": "20', '"created": "21'))
    assert storage.mirror(uri, place)
    assert len(manifest.verify(place).files) == 2
    assert not storage.mirror(f"s3://{BUCKET}/nothing", place)


def test_an_upload_that_was_killed_is_never_read_and_goes_on_where_it_was(s3: S3, tmp_path: Path) -> None:
    made, uri = folder(tmp_path / "made", files=48), f"s3://{BUCKET}/killed"
    stuck = (
        "import itertools, sys, time; from parfocal.adapters import storage, storage_remote as r\n"
        "put, number = r.Remote._put, itertools.count()\n"
        "r.Remote._put = lambda self, *a: time.sleep(600) if next(number) >= 9 else put(self, *a)\n"
        "storage.store(*sys.argv[1:])"
    )
    process = subprocess.Popen([sys.executable, "-c", stuck, str(made), uri], env=dict(os.environ))
    until = time.monotonic() + 90
    while len(s3.written()) < 9 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = s3.written()
    assert len(before) == 9
    assert "killed/manifest.json" not in before
    with pytest.raises(DataContractError, match="no whole folder is stored there"):
        storage.fetch(uri, tmp_path / "cache")
    time.sleep(1)  # S3 dates to the second
    storage.store(made, uri)
    after = s3.written()
    assert {key: after[key] for key in before} == before
    assert manifest.verify(storage.fetch(uri, tmp_path / "cache"))


def test_a_server_that_goes_away_in_the_middle_of_a_fetch(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, uri, cache = folder(tmp_path / "made", files=40), f"s3://{BUCKET}/away", tmp_path / "cache"
    storage.store(made, uri)
    get, asked = Remote.get, []

    def get_half(self: Remote, files: dict[str, Path]) -> None:
        asked.append(len(files))
        if len(asked) == 1:
            get(self, dict(list(files.items())[:20]))
            s3.go()
        get(self, files)

    monkeypatch.setattr(Remote, "get", get_half)
    monkeypatch.setattr("parfocal.adapters.storage_remote.ATTEMPTS", 1)
    with pytest.raises(OutsideServiceError, match="cannot be used") as raised:
        storage.fetch(uri, cache)
    assert raised.value.where == uri
    assert not [path for path in cache.iterdir() if not path.name.startswith(".")]
    s3.come_back()
    assert manifest.verify(storage.fetch(uri, cache)).checksum == manifest.read(made).checksum
    assert asked[0] == 40 and asked[1] <= 21, "what had come is not fetched again"


def test_an_object_that_was_cut_short_is_named_and_stored_anew(s3: S3, tmp_path: Path) -> None:
    made, uri = folder(tmp_path / "made"), f"s3://{BUCKET}/short"
    storage.store(made, uri)
    s3.client().put_object(Bucket=BUCKET, Key="short/part 1/1.txt", Body=b"11111")
    with pytest.raises(DataContractError, match="what is stored is damaged: a file has changed") as raised:
        storage.fetch(uri, tmp_path / "cache")
    assert raised.value.where == f"{uri}/part 1/1.txt"
    s3.client().delete_object(Bucket=BUCKET, Key="short/part 2/2.txt")
    with pytest.raises(OutsideServiceError, match="an object is gone"):
        storage.fetch(uri, tmp_path / "another")
    storage.store(made, uri)
    assert manifest.verify(storage.fetch(uri, tmp_path / "cache"))


def test_keys_that_are_wrong_and_buckets_that_are_not_there(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.core import enable_iam_authentication

    made = folder(tmp_path / "made")
    with enable_iam_authentication(), pytest.raises(OutsideServiceError, match="does not let us in") as raised:
        storage.store(made, f"s3://{BUCKET}/x")
    assert "s3:PutObject" in raised.value.expected and "AWS_ACCESS_KEY_ID" in raised.value.next
    for call in (storage.store, lambda made, uri: storage.fetch(uri, tmp_path)):
        with pytest.raises(OutsideServiceError, match="there is no such bucket"):
            call(made, "s3://no-such-bucket/x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(OutsideServiceError, match="Unable to locate credentials"):
        storage.fetch(f"s3://{BUCKET}/x", tmp_path)
    with pytest.raises(UsageError, match="this address cannot be used"):
        storage.fetch("s4://x/y", tmp_path)


def test_a_store_cannot_write_outside_the_cache(s3: S3, tmp_path: Path) -> None:
    made, uri = folder(tmp_path / "made"), f"s3://{BUCKET}/evil"
    text = (made / "manifest.json").read_text().replace("part 0/0.txt", "../../outside.txt")
    s3.client().put_object(Bucket=BUCKET, Key="evil/manifest.json", Body=text.encode())
    with pytest.raises(DataContractError, match="outside its folder"):
        storage.fetch(uri, tmp_path / "cache")


def test_the_cache_is_bounded_and_what_a_process_uses_stays(s3: S3, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    uris = [storage.store(folder(tmp_path / str(n), content=str(n)), f"s3://{BUCKET}/{n}") for n in range(3)]
    fetched = [storage.fetch(uri, cache, limit=10**9) for uri in uris[:2]]
    storage._used.pop(fetched[0]).close()  # its process has ended
    fetched.append(storage.fetch(uris[2], cache, limit=1))
    assert [place.exists() for place in fetched] == [False, True, True]
    assert manifest.verify(storage.fetch(uris[0], cache))


def test_what_is_deleted_is_nobodys_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, asked = tmp_path / ("a" * 64), []
    entry.mkdir()

    def remove(place: Path, **_: object) -> None:
        with place.with_name(f".{place.name}.used").open() as wanted, pytest.raises(BlockingIOError):
            fcntl.flock(wanted, fcntl.LOCK_SH | fcntl.LOCK_NB)
        asked.append(place)

    monkeypatch.setattr(storage.shutil, "rmtree", remove)
    assert storage._removed(entry)
    assert asked == [entry]


def test_instruments_that_differ_in_a_letter_do_not_share_an_address() -> None:
    uris = [storage.experience_uri("s3://b/p/", "fundus", name, 3) for name in ("Cam-A.1", "Cam A", "Cam_A", "Cam é")]
    assert uris[0] == "s3://b/p/experiences/fundus/Cam-A.1/3"
    assert len(set(uris)) == 4
    assert all(uri.isascii() and " " not in uri for uri in uris)
