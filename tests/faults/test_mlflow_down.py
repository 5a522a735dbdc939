"""MLflow down at promotion: found in seconds, nothing lost or doubled; once it is back the same command works."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from promotion_kit import Recorder, first, platform, settings, write_bundle, write_evaluation

from parfocal.adapters import Platform, Settings, connect
from parfocal.core.errors import OutsideServiceError
from parfocal.core.reporting import Silent
from parfocal.core.types import Decision, Outcome
from parfocal.steps import promote
from parfocal.steps.config import RunConfig

SECONDS = 30
"""To find that a server is down. MLflow's own patience is minutes; alone on a machine it takes about three."""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    write_evaluation(tmp_path / "e1", first(write_bundle(tmp_path / "one", "weights")))
    platform(tmp_path / "state")
    return tmp_path


def run(house: Path, real: Platform) -> Decision:
    with real.tracker.run("promote", key="k1") as tracked:
        return promote.run(
            house / "e1",
            house / "one",
            house / "out",
            RunConfig(),
            key="k1",
            store=real.models,
            ledger=real.ledger,
            run=tracked,
            reporter=Silent(),
        )


def down(house: Path, uri: str) -> Settings:
    return settings(house / "state").model_copy(update={"tracking_uri": uri})


@pytest.fixture
def nobody() -> Iterator[str]:
    """Where nobody answers: the port is kept, so that no other process listens there meanwhile."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


def test_a_server_that_is_down_fails_quickly_and_says_what_to_do(house: Path, nobody: str) -> None:
    before = time.monotonic()
    with pytest.raises(OutsideServiceError, match="MLFLOW_TRACKING_URI") as caught:
        run(house, connect(down(house, nobody)))
    assert caught.value.exit_code == 6
    assert time.monotonic() - before < SECONDS
    assert not (house / "out").exists()
    assert run(house, platform(house / "state")).outcome is Outcome.PROMOTE


def test_a_database_that_is_down_fails_quickly_without_showing_the_password(house: Path) -> None:
    (house / "folder.db").mkdir()
    before = time.monotonic()
    with pytest.raises(OutsideServiceError):
        connect(down(house, f"sqlite:///{house / 'folder.db'}")).models.get("fundus", "champion")
    assert time.monotonic() - before < SECONDS


def test_mlflow_that_dies_after_the_gate_has_decided_costs_only_the_time(house: Path, nobody: str) -> None:
    alive, gone = platform(house / "state"), connect(down(house, nobody))

    class Failing:
        """The registry answers until the bundle is to be registered."""

        get, register = alive.models.get, gone.models.register

    with pytest.raises(OutsideServiceError):
        promote.run(
            house / "e1",
            house / "one",
            house / "out",
            RunConfig(),
            key="k1",
            store=Failing(),  # type: ignore[arg-type]
            ledger=alive.ledger,
            run=Recorder(),
            reporter=Silent(),
        )
    assert [entry.kind for entry in alive.ledger.entries()] == ["decision"]
    assert run(house, alive).outcome is Outcome.PROMOTE
    assert [entry.kind for entry in alive.ledger.entries()] == ["decision", "promotion-started", "promotion"]
    assert len(alive.models.versions("fundus")) == 1


def test_mlflow_that_dies_after_the_promotion_loses_only_the_log_until_the_command_is_given_again(house: Path) -> None:
    real = platform(house / "state")

    class Deaf(Recorder):
        def tags(self, values: object) -> None:
            raise OutsideServiceError("MLflow could not take tags")

    with pytest.raises(OutsideServiceError):
        promote.run(
            house / "e1",
            house / "one",
            house / "out",
            RunConfig(),
            key="k1",
            store=real.models,
            ledger=real.ledger,
            run=Deaf(),
            reporter=Silent(),
        )
    assert (house / "out" / "decision.json").exists()
    assert run(house, real).outcome is Outcome.PROMOTE
    (tracked,) = real.tracker._mlflow.client.search_runs([real.tracker._mlflow.experiment])
    assert tracked.data.tags["parfocal.outcome"] == "promote"
    assert tracked.data.tags["parfocal.ledger"] == real.ledger.entries(kind="promotion")[0].hash
