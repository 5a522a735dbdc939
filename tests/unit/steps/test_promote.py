"""promote: decide, register, move the alias; the same command again changes nothing."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from promotion_kit import MemoryStore, Recorder, better, first, write_bundle, write_evaluation

from parfocal.adapters.database import SqlLedger
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.reporting import Silent
from parfocal.core.scores import Evaluation
from parfocal.core.types import Decision, Outcome
from parfocal.promotion.evidence import Approval
from parfocal.steps import promote
from parfocal.steps.config import RunConfig


@dataclass
class House:
    """A registry and the folders of two models: `one`, the first, and `two`, its challenger."""

    root: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    run: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.ledger = SqlLedger(f"sqlite:///{self.root / 'ledger.db'}")
        self.one = write_bundle(self.root / "one", "weights 1")
        self.two = write_bundle(self.root / "two", "weights 2")

    def judged(self, name: str, values: Evaluation) -> Path:
        return write_evaluation(self.root / name, values)

    def promote(
        self,
        evaluation: Path,
        bundle: str,
        out: str,
        key: str = "",
        approval: Approval | None = None,
        policy: dict[str, object] | None = None,
    ) -> Decision:
        return promote.run(
            evaluation,
            self.root / bundle,
            self.root / out,
            RunConfig.parse({"gate": policy or {}}),
            key=key or f"k-{bundle}",
            store=self.store,
            ledger=self.ledger,
            run=self.run,
            reporter=Silent(),
            approval=approval,
        )

    def promote_both(self) -> None:
        self.promote(self.judged("e1", first(self.one)), "one", "p1")
        self.promote(self.judged("e2", better(self.two, self.one)), "two", "p2")

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries("fundus")]

    @property
    def champion(self) -> str | None:
        found = self.store.get("fundus", "champion")
        return found.version if found else None


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


MOVE = ["decision", "promotion-started", "promotion"]


def test_a_first_model_and_a_better_one_are_promoted_with_evidence(house: House) -> None:
    house.promote_both()
    assert house.kinds == MOVE * 2
    assert house.champion == "2"
    file = json.loads((house.root / "p2" / "evidence.json").read_text())
    assert file["rollback"] == {"version": "1", "checksum": house.one}
    assert file["matrix"][0]["dice"]["B"]["disc"] == pytest.approx(0.85, abs=0.01)
    (entry,) = [e for e in house.ledger.entries(kind="promotion") if e.key == "k-two"]
    assert entry.body["evidence_checksum"] == manifest.sha256(house.root / "p2" / "evidence.json")
    assert (entry.body["version"], entry.body["matrix_row"]["model"], entry.body["by"]) == ("2", house.two, "gate")
    assert manifest.verify(house.root / "p2", "promotion").parents[1].checksum == house.two
    assert house.run.tagged["parfocal.ledger"] == entry.hash
    assert house.run.measured["gate.gain.B.disc"] == pytest.approx(0.2, abs=0.01)
    assert house.ledger.verify() == 6


def test_the_same_command_again_changes_nothing(house: House) -> None:
    house.promote_both()
    again = house.promote(house.root / "e2", "two", "p2")
    elsewhere = house.promote(house.root / "e2", "two", "another-place")
    assert (again.outcome, elsewhere) == (Outcome.PROMOTE, again)
    assert house.kinds == MOVE * 2
    assert len(house.store.made) == 2
    for name in ("evidence.json", "decision.json", "summary.md"):
        assert (house.root / "p2" / name).read_bytes() == (house.root / "another-place" / name).read_bytes()


def test_the_same_command_after_a_rollback_does_not_promote_again(house: House) -> None:
    house.promote_both()
    promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="worse in clinic")
    assert house.promote(house.root / "e2", "two", "p3").outcome is Outcome.PROMOTE
    assert house.champion == "1"
    assert house.kinds == [*MOVE * 2, "rollback-started", "rollback"]


def test_a_refusal_is_an_answer_and_leaves_the_champion(house: House) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    worse = house.judged("e2", better(house.two, house.one, gain=-0.2))
    assert house.promote(worse, "two", "p2", approval=Approval("Ada", "I know better")).outcome is Outcome.REFUSE
    assert house.champion == "1"
    assert house.kinds == [*MOVE, "decision"]
    assert "a refusal cannot be approved" in (house.root / "p2" / "summary.md").read_text()


def test_what_cannot_be_said_waits_for_a_person(house: House) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    unclear = house.judged("e2", better(house.two, house.one, patients=8))
    assert house.promote(unclear, "two", "p2").outcome is Outcome.INCONCLUSIVE
    assert house.champion == "1"
    approved = house.promote(unclear, "two", "p3", approval=Approval("Ada", "I saw all eight"))
    assert (approved.outcome, approved.approved_by) == (Outcome.PROMOTE, "Ada")
    assert house.champion == "2"
    assert house.kinds == [*MOVE, "decision", *MOVE]
    assert promote.history(house.ledger, "fundus")[-1].by == "Ada"


def test_an_output_folder_of_another_decision_is_refused_before_anything_moves(house: House) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    unclear = house.judged("e2", better(house.two, house.one, patients=8))
    house.promote(unclear, "two", "p2")
    with pytest.raises(UsageError, match="another decision is already there"):
        house.promote(unclear, "two", "p2", approval=Approval("Ada", "I saw all eight"))
    assert house.champion == "1"


def test_a_challenger_judged_against_an_earlier_champion_is_to_be_evaluated_again(house: House) -> None:
    house.promote_both()
    three = write_bundle(house.root / "three", "weights 3")
    decision = house.promote(house.judged("e3", better(three, house.one)), "three", "p3")
    assert decision.outcome is Outcome.REFUSE
    assert "Evaluate again" in decision.reason
    assert house.champion == "2"


def test_a_champion_moved_between_decision_and_promotion_stops_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    write_bundle(house.root / "three", "weights 3")
    three = house.store.register(house.root / "three", "fundus")
    register = house.store.register

    def meanwhile(*args: object, **kwargs: object) -> object:
        house.store.set_alias("fundus", "champion", three.version)
        promote.reconcile(house.ledger, house.store, "fundus")
        return register(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "register", meanwhile)
    decision = house.promote(house.judged("e2", better(house.two, house.one)), "two", "p2")
    assert "Evaluate again" in decision.reason
    assert house.champion == three.version
    assert house.kinds == [*MOVE, "decision", "alias-moved-outside", "decision"]


def test_best_ever_promoted_is_read_from_the_ledger(house: House) -> None:
    house.promote_both()
    promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="a test")
    three = write_bundle(house.root / "three", "weights 3")
    judged = better(three, house.one, gain=0.16)  # 0.04 under what version 2 had reached on B
    decision = house.promote(house.judged("e3", judged), "three", "p3")
    assert "best ever promoted there was 0.850" in decision.reason


def test_an_evaluation_of_another_bundle_is_refused(house: House) -> None:
    with pytest.raises(DataContractError, match="another bundle"):
        house.promote(house.judged("e1", first(house.one)), "two", "p1")


def test_a_folder_that_was_touched_is_refused(house: House) -> None:
    evaluation = house.judged("e1", first(house.one))
    (house.root / "one" / "disc" / "weights.safetensors").write_text("other")
    with pytest.raises(DataContractError, match="changed since it was sealed"):
        house.promote(evaluation, "one", "p1")
    assert house.kinds == []


def test_one_key_promotes_one_bundle(house: House) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1", key="k")
    with pytest.raises(UsageError, match="already promoted another bundle"):
        house.promote(house.judged("e2", better(house.two, house.one)), "two", "p2", key="k")
    assert house.champion == "1"


def test_a_rollback_names_who_and_why_and_is_in_the_history(house: House) -> None:
    house.promote_both()
    with pytest.raises(UsageError, match="a name and a reason"):
        promote.rollback(house.store, house.ledger, "fundus", by="", reason="why")
    assert promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="worse").version == "1"
    last = promote.history(house.ledger, "fundus")[-1]
    assert (last.version, last.how, last.by, last.reason) == ("1", "rollback", "Ada", "worse")


def test_a_rollback_to_a_damaged_bundle_moves_nothing(house: House) -> None:
    house.promote_both()
    (house.root / "one" / "disc" / "weights.safetensors").write_text("other")
    with pytest.raises(DataContractError, match="changed since it was sealed"):
        promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="worse")
    assert house.champion == "2"
    assert house.kinds == MOVE * 2


def test_a_rollback_that_died_is_finished_by_the_same_command_not_doubled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.promote_both()
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(house.store, "set_alias", lambda *_: (_ for _ in ()).throw(ConnectionError()))
        promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="worse")
    assert house.champion == "2"
    for _ in range(2):
        assert promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="worse").version == "1"
    assert house.kinds == [*MOVE * 2, "rollback-started", "rollback"]
    with pytest.raises(UsageError, match="an earlier champion"):
        promote.rollback(house.store, house.ledger, "fundus", by="Ada", reason="still worse")


CLICKED, STACKED = {"objective": "interact"}, {"slices": 5}


def bundles(house: House, **kinds: dict[str, object]) -> dict[str, str]:
    return {name: write_bundle(house.root / name, name, **kind) for name, kind in kinds.items()}


@pytest.mark.parametrize("kind", [CLICKED, STACKED], ids=["clicks", "slices"])
def test_what_the_segmenter_cannot_answer_with_does_not_replace_what_it_answers_with(
    house: House, kind: dict[str, object]
) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    made = bundles(house, odd=kind)["odd"]
    judged = house.judged("e2", better(made, house.one))
    with pytest.raises(UsageError, match="the segmenter cannot answer with this bundle") as refused:
        house.promote(judged, "odd", "p2")
    assert "gate.unserved=true" in refused.value.next
    assert house.kinds == MOVE, "nothing was decided and nothing registered"
    assert len(house.store.made) == 1
    assert not (house.root / "p2").exists()
    assert house.promote(judged, "odd", "p2", policy={"unserved": True}).outcome is Outcome.PROMOTE


def test_a_first_model_of_volumes_is_promoted_and_marked_and_its_kind_follows_it(house: House) -> None:
    made = bundles(house, three=STACKED, four=STACKED)
    assert house.promote(house.judged("e1", first(made["three"])), "three", "p1").outcome is Outcome.PROMOTE
    assert house.store.tagged[made["three"]]["parfocal.unserved"].startswith("its networks look at neighbouring")
    evidence = json.loads((house.root / "p1" / "evidence.json").read_text())
    assert "neighbouring slices" in evidence["model"]["unserved"]
    assert "Not served by the segmenter: " in (house.root / "p1" / "model_card.md").read_text()
    judged = house.judged("e2", better(made["four"], made["three"]))
    assert house.promote(judged, "four", "p2").outcome is Outcome.PROMOTE
    assert house.champion == "2"
    assert house.promote(judged, "four", "p3").outcome is Outcome.PROMOTE, "and the same command again"


def test_a_first_model_that_answers_clicks_has_to_be_asked_for(house: House) -> None:
    """Otherwise one that answers pictures could never follow: the two are not judged against one another."""
    made = bundles(house, clicked=CLICKED, next=CLICKED)
    judged = house.judged("e1", first(made["clicked"]))
    with pytest.raises(UsageError, match="has no champion yet, and the segmenter cannot answer") as refused:
        house.promote(judged, "clicked", "p1")
    assert "PARFOCAL_CLICKS_MODEL" in refused.value.next
    house.promote(judged, "clicked", "p1", policy={"unserved": True})
    after = house.judged("e2", better(made["next"], made["clicked"]))
    assert house.promote(after, "next", "p2").outcome is Outcome.PROMOTE


def test_what_the_segmenter_answers_with_is_promoted_unmarked(house: House) -> None:
    house.promote(house.judged("e1", first(house.one)), "one", "p1")
    assert "parfocal.unserved" not in house.store.tagged[house.one]
    assert json.loads((house.root / "p1" / "evidence.json").read_text())["model"]["unserved"] == ""
    assert "Not served" not in (house.root / "p1" / "model_card.md").read_text()
