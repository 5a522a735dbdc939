"""kill -9 between any two effects of a promotion or a rollback; the same command finishes it, once.

The child is killed by a wrapper around the real store and ledger, which sends SIGKILL to its own process after a
given number of effects. It is forked, so that MLflow is imported once for all of them.
"""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from promotion_kit import Recorder, better, first, platform, write_bundle, write_evaluation

from parfocal.adapters.mlflow_models import MlflowModelStore
from parfocal.core import manifest
from parfocal.core.reporting import Silent
from parfocal.core.types import Decision, Outcome
from parfocal.steps import promote
from parfocal.steps.config import RunConfig

EFFECTS = ("append", "register", "set_alias")
MOVE = ["decision", "promotion-started", "promotion"]


class Deadly:
    """The real thing, until the effect after which the process dies; `count` is shared by all wrappers."""

    def __init__(self, real: Any, count: list[int], last: int) -> None:
        self._real, self._count, self._last = real, count, last

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._die_after, found) if name in EFFECTS else found

    def _die_after(self, effect: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        done = effect(*args, **kwargs)
        self._count[0] += 1
        if self._count[0] == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def promoted(house: Path, wrap: Callable[[Any], Any] = lambda real: real) -> Decision:
    real = platform(house / "state")
    return promote.run(
        house / "e2",
        house / "two",
        house / "out",
        RunConfig(),
        key="k2",
        store=wrap(real.models),
        ledger=wrap(real.ledger),
        run=Recorder(),
        reporter=Silent(),
    )


def rolled_back(house: Path, wrap: Callable[[Any], Any] = lambda real: real) -> str:
    real = platform(house / "state")
    models, ledger = wrap(real.models), wrap(real.ledger)
    return promote.rollback(models, ledger, "fundus", by="Ada", reason="worse in clinic").version


def die(command: Callable[..., Any], house: Path, effects: int) -> int | None:
    """Run a command in a child that dies after so many effects; the exit code, -9 when it was killed."""
    count = [0]
    work = partial(command, house, lambda real: Deadly(real, count, effects))
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    return child.exitcode


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A promoted first model, and the evaluation of a better one."""
    root = tmp_path_factory.mktemp("house")
    one, two = (write_bundle(root / name, f"weights {name}") for name in ("one", "two"))
    write_evaluation(root / "e1", first(one))
    write_evaluation(root / "e2", better(two, one))
    real = platform(root / "state")
    promote.run(
        root / "e1",
        root / "one",
        root / "out1",
        RunConfig(),
        key="k1",
        store=real.models,
        ledger=real.ledger,
        run=Recorder(),
        reporter=Silent(),
    )
    return root


@pytest.fixture
def fresh(house: Path, tmp_path: Path) -> Path:
    """The house as it was; MLflow keeps absolute paths, so artifacts go on being in the first one's."""
    shutil.copytree(house, tmp_path / "house")
    return tmp_path / "house"


def check_promoted(house: Path) -> None:
    real = platform(house / "state")
    assert [version.version for version in real.models.versions("fundus")] == ["1", "2"]
    champion = real.models.get("fundus", "champion")
    assert champion is not None
    assert champion.version == "2"
    assert [entry.kind for entry in real.ledger.entries("fundus")] == MOVE * 2
    assert real.ledger.verify() == 6
    (entry,) = [entry for entry in real.ledger.entries(kind="promotion") if entry.key == "k2"]
    assert manifest.verify(house / "out", "promotion").files["evidence.json"] == entry.body["evidence_checksum"]
    assert list(house.glob(".out.*")) == []


@pytest.mark.parametrize("effects", range(1, 7))
def test_a_promotion_killed_after_any_effect_is_finished_once(fresh: Path, effects: int) -> None:
    assert die(promoted, fresh, effects) == -signal.SIGKILL
    assert not (fresh / "out").exists()
    assert promoted(fresh).outcome is Outcome.PROMOTE
    check_promoted(fresh)


def test_a_promotion_has_six_effects(fresh: Path) -> None:
    assert die(promoted, fresh, 7) == 0
    check_promoted(fresh)


def test_a_promotion_killed_while_writing_its_folder_leaves_none(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "seal", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        assert die(promoted, fresh, 99) == -signal.SIGKILL
    assert not (fresh / "out").exists()
    promoted(fresh)
    check_promoted(fresh)


def test_a_promotion_killed_between_upload_and_registration_makes_one_version(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MlflowModelStore, "_create_version", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert die(promoted, fresh, 99) == -signal.SIGKILL
    promoted(fresh)
    check_promoted(fresh)


@pytest.mark.parametrize("effects", [4, 5])
def test_a_started_promotion_is_finished_also_by_a_command_that_is_not_its_own(fresh: Path, effects: int) -> None:
    assert die(promoted, fresh, effects) == -signal.SIGKILL
    real = platform(fresh / "state")
    done = promote.reconcile(real.ledger, real.models, "fundus")
    assert done is not None
    assert (done.kind, done.key) == ("promotion", "k2")
    promoted(fresh)
    check_promoted(fresh)


@pytest.mark.parametrize("effects", [1, 2, 3])
def test_a_rollback_killed_after_any_effect_is_finished_once(fresh: Path, effects: int) -> None:
    promoted(fresh)
    assert die(rolled_back, fresh, effects) == -signal.SIGKILL
    assert rolled_back(fresh) == "1"
    ledger = platform(fresh / "state").ledger
    assert [entry.kind for entry in ledger.entries("fundus")] == [*MOVE * 2, "rollback-started", "rollback"]
