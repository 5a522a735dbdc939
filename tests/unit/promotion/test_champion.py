"""Who is champion follows from the ledger alone, also when processes died or raced."""

from pathlib import Path

import pytest
from promotion_kit import MemoryStore, write_bundle

from parfocal.adapters.database import SqlLedger
from parfocal.core.errors import UsageError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.best import best_promoted
from parfocal.promotion.champion import (
    CHAMPION,
    begin_rollback,
    complete,
    history,
    named,
    reconcile,
    standing,
)
from parfocal.promotion.ledger import ALIAS_MOVED_OUTSIDE, PROMOTION, PROMOTION_STARTED

TASK = "fundus"


class Registry:
    """A ledger, a store with three versions, and a way to start a promotion."""

    def __init__(self, folder: Path) -> None:
        self.ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}")
        self.store = MemoryStore()
        for number in (1, 2, 3):
            write_bundle(folder / str(number), f"weights {number}")
            self.store.register(folder / str(number), TASK)

    def start(self, version: str, key: str, replaces: str | None = None, dice: float = 0.9) -> LedgerEntry:
        state = standing(self.ledger.entries(TASK))
        body = {
            "version": version,
            "checksum": self.store.made[int(version) - 1].checksum,
            "replaces": named(state) if replaces is None else {"version": replaces, "checksum": ""},
            "rollback": named(state) if state.version else None,
            "by": "gate",
            "reason": "all met",
            "matrix_row": {"dice": {"A": {"disc": dice}}},
            "evidence_checksum": "e" * 64,
            "evidence": {},
        }
        return self.ledger.append(PROMOTION_STARTED, TASK, key, body)

    def promote(self, version: str, dice: float = 0.9) -> None:
        complete(self.ledger, self.store, self.start(version, f"k{version}", dice=dice))

    def go_back(self, to: str | None = None) -> str:
        ignore = lambda *_: None  # noqa: E731
        started = begin_rollback(self.store, self.ledger, TASK, to=to, by="Ada", reason="worse in clinic", check=ignore)
        complete(self.ledger, self.store, started)
        return self.store.aliases[CHAMPION]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_a_started_promotion_is_completed_by_whoever_comes_next(registry: Registry) -> None:
    registry.start("1", "k1")
    done = reconcile(registry.ledger, registry.store, TASK)
    assert done is not None
    assert (done.kind, done.key, registry.store.aliases[CHAMPION]) == (PROMOTION, "k1", "1")
    assert "evidence" not in done.body
    assert reconcile(registry.ledger, registry.store, TASK) is None


def test_of_two_promotions_started_from_one_champion_the_first_wins(registry: Registry) -> None:
    registry.promote("1")
    first, second = registry.start("2", "k2"), registry.start("3", "k3", replaces="1")
    state = standing(registry.ledger.entries(TASK))
    assert state.pending == first
    assert (second.kind, second.key) in state.void
    reconcile(registry.ledger, registry.store, TASK)
    assert standing(registry.ledger.entries(TASK)).version == "2"


def test_an_alias_moved_by_hand_is_recorded_and_left_where_it_is(registry: Registry) -> None:
    registry.promote("1")
    registry.store.set_alias(TASK, CHAMPION, "3")
    entry = reconcile(registry.ledger, registry.store, TASK)
    assert entry is not None
    assert (entry.kind, entry.body["version"], entry.body["replaces"]["version"]) == (ALIAS_MOVED_OUTSIDE, "3", "1")
    assert registry.store.aliases[CHAMPION] == "3"
    assert reconcile(registry.ledger, registry.store, TASK) is None


def test_an_alias_moved_by_hand_in_the_middle_of_a_promotion_cancels_it(registry: Registry) -> None:
    registry.promote("1")
    started = registry.start("2", "k2")
    registry.store.set_alias(TASK, CHAMPION, "3")
    reconcile(registry.ledger, registry.store, TASK)
    state = standing(registry.ledger.entries(TASK))
    assert (state.version, state.pending) == ("3", None)
    assert (started.kind, started.key) in state.void


def test_an_alias_removed_by_hand_leaves_no_champion(registry: Registry) -> None:
    registry.promote("1")
    del registry.store.aliases[CHAMPION]
    reconcile(registry.ledger, registry.store, TASK)
    state = standing(registry.ledger.entries(TASK))
    assert (state.version, state.checksum) == ("", None)
    assert history(registry.ledger.entries(TASK))[-1].until


def test_rollbacks_go_back_one_champion_at_a_time(registry: Registry) -> None:
    for version in "123":
        registry.promote(version)
    assert [registry.go_back(), registry.go_back()] == ["2", "1"]
    with pytest.raises(UsageError, match="an earlier champion"):
        registry.go_back()
    assert registry.go_back(to="3") == "3"


def test_a_version_that_never_was_champion_cannot_be_rolled_back_to(registry: Registry) -> None:
    registry.promote("1")
    registry.promote("2")
    with pytest.raises(UsageError, match="an earlier champion: 1"):
        registry.go_back(to="3")


def test_history_says_who_answered_when_and_on_what_evidence(registry: Registry) -> None:
    registry.promote("1")
    registry.promote("2")
    registry.go_back()
    reigns = history(registry.ledger.entries(TASK))
    assert [(r.version, r.how, r.by) for r in reigns] == [
        ("1", "promotion", "gate"), ("2", "promotion", "gate"), ("1", "rollback", "Ada"),
    ]  # fmt: skip
    assert [r.until for r in reigns] == [reigns[1].since, reigns[2].since, ""]
    assert reigns[0].evidence == "e" * 64


def test_the_best_ever_promoted_outlives_a_rollback(registry: Registry) -> None:
    registry.promote("1", dice=0.91)
    registry.promote("2", dice=0.95)
    registry.go_back()
    assert best_promoted(registry.ledger.entries(TASK)) == {("A", "disc"): 0.95}
