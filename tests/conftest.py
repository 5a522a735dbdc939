"""Being here puts this folder on the path, so that tests of several folders share the `*_kit.py` modules beside it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from postgres_kit import Cluster

settings.register_profile("parfocal", deadline=None, derandomize=True)  # a slow machine is no fault of an example
settings.load_profile("parfocal")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Folder of a public data set by name; the test is skipped where it is not."""

    def find(name: str) -> Path:
        beside = Path(__file__).parents[1].parent / "shared" / "data"
        folder = Path(os.environ.get("PARFOCAL_DATA", beside)) / name
        if not folder.is_dir():
            pytest.skip(f"real photographs are not here: {folder}; name their folder in PARFOCAL_DATA")
        return folder

    return find


@pytest.fixture(scope="session")
def postgres() -> Iterator["Cluster"]:
    """A PostgreSQL for all tests of this process that do not stop it; skipped where it is not installed."""
    from postgres_kit import Cluster

    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: SQLite, unless `postgres_kit.BOTH` asks for PostgreSQL too."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path / 'monitor.db'}"
    found: Cluster = request.getfixturevalue("postgres")
    return found.database()
