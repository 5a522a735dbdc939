from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from annotate_kit import World, fake_segmenter
from starlette.testclient import TestClient


@pytest.fixture
def segmenter() -> Iterator[ThreadingHTTPServer]:
    with fake_segmenter() as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, database_url: str, segmenter: ThreadingHTTPServer) -> World:
    return World(tmp_path / "state", database_url, f"http://127.0.0.1:{segmenter.server_address[1]}")


@pytest.fixture
def monitor(world: World) -> Iterator[TestClient]:
    with world.monitor() as made:
        yield made
