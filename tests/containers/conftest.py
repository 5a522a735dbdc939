"""One engine and one build of the images for all of these tests, which take minutes: `make test-containers`."""

from collections.abc import Iterator
from pathlib import Path

import containers_kit
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(2400))  # the first of them builds the images


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    with containers_kit.engine():
        yield


@pytest.fixture(scope="session")
def images(engine: None) -> None:
    containers_kit.images()


@pytest.fixture(scope="session")
def mlflow_image(engine: None) -> None:
    containers_kit.mlflow_image()
