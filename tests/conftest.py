"""Being here puts this folder on the path, so that tests of several folders share the `*_kit.py` modules beside it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


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
