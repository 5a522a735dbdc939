"""What every model store promises (`parfocal.core.protocols.ModelStore`); the one in memory is for tests."""

from pathlib import Path

import pytest
from promotion_kit import MemoryStore, platform, write_bundle

from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.core.protocols import ModelStore


@pytest.fixture(params=["mlflow", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    return platform(tmp_path / "state").models if request.param == "mlflow" else MemoryStore()


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        write_bundle(folder, f"weights of {folder.name}")
    return folders


def test_a_bundle_registered_twice_is_one_version(store: ModelStore, bundles: list[Path], tmp_path: Path) -> None:
    first = store.register(bundles[0], "fundus", tags={"parfocal.key": "k"})
    write_bundle(tmp_path / "again", "weights of one")
    again = store.register(tmp_path / "again", "fundus")
    assert (again.version, again.checksum) == (first.version, manifest.read(bundles[0]).checksum)
    assert len(store.versions("fundus")) == 1


def test_versions_come_oldest_first_with_their_aliases(store: ModelStore, bundles: list[Path]) -> None:
    one, two = (store.register(folder, "fundus") for folder in bundles)
    store.set_alias("fundus", "champion", one.version)
    store.set_alias("fundus", "challenger", two.version)
    assert [(v.version, v.aliases) for v in store.versions("fundus")] == [
        (one.version, ("champion",)),
        (two.version, ("challenger",)),
    ]


def test_an_alias_is_moved_not_copied(store: ModelStore, bundles: list[Path]) -> None:
    one, two = (store.register(folder, "fundus") for folder in bundles)
    store.set_alias("fundus", "champion", one.version)
    store.set_alias("fundus", "champion", two.version)
    assert [v.aliases for v in store.versions("fundus")] == [(), ("champion",)]
    champion = store.get("fundus", "champion")
    assert champion is not None
    assert champion == store.get("fundus", two.version)


def test_what_is_not_there_is_none_and_cannot_be_fetched(
    store: ModelStore, bundles: list[Path], tmp_path: Path
) -> None:
    assert store.get("fundus", "champion") is None
    assert list(store.versions("fundus")) == []
    store.register(bundles[0], "fundus")
    assert store.get("fundus", "champion") is None
    assert store.get("fundus", "99") is None
    with pytest.raises(DataContractError, match="champion"):
        store.fetch("fundus", "champion", tmp_path / "models")


def test_a_fetched_bundle_is_the_one_that_was_registered(
    store: ModelStore, bundles: list[Path], tmp_path: Path
) -> None:
    version = store.register(bundles[0], "fundus")
    fetched = store.fetch("fundus", version.version, tmp_path / "models")
    assert manifest.verify(fetched, "bundle").checksum == version.checksum
    assert store.fetch("fundus", version.version, tmp_path / "models") == fetched
    assert [place.name for place in (tmp_path / "models").iterdir()] == [version.checksum]


def test_a_bundle_that_was_touched_is_not_registered(store: ModelStore, bundles: list[Path]) -> None:
    (bundles[0] / "disc" / "weights.safetensors").write_text("other weights")
    with pytest.raises(DataContractError, match="weights"):
        store.register(bundles[0], "fundus")
    assert list(store.versions("fundus")) == []


def test_two_tasks_have_two_models(store: ModelStore, bundles: list[Path]) -> None:
    store.register(bundles[0], "fundus")
    assert list(store.versions("lung")) == []
