"""`parfocal pipeline approve`: what the gate could not decide, a person may, once and by name."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from promotion_kit import MemoryStore, Recorder, better, first, write_bundle, write_evaluation

from parfocal.adapters.database import SqlLedger
from parfocal.cli import inputs
from parfocal.cli.approving import approve
from parfocal.core.errors import UsageError
from parfocal.core.reporting import Silent
from parfocal.core.types import Outcome
from parfocal.steps import promote
from parfocal.steps.config import RunConfig

SIGNED = ["--by", "Ada", "--reason", "I saw all eight"]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A state folder with a run whose challenger the gate could not judge, as the local launcher leaves it."""
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    found = SimpleNamespace(models=MemoryStore(), ledger=SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}"))

    @contextmanager
    def tracked(step: str, key: str) -> Iterator[tuple[SimpleNamespace, Recorder]]:
        yield found, Recorder()

    monkeypatch.setattr(inputs, "tracked", tracked)
    one, two = write_bundle(tmp_path / "one", "weights 1"), write_bundle(tmp_path / "two", "weights 2")
    told = {"store": found.models, "ledger": found.ledger, "run": Recorder(), "reporter": Silent()}
    evaluation = write_evaluation(tmp_path / "e1", first(one))
    promote.run(evaluation, tmp_path / "one", tmp_path / "p1", RunConfig(), key="k1", **told)
    unclear = write_evaluation(tmp_path / "e2", better(two, one, patients=8))
    said = promote.run(unclear, tmp_path / "two", tmp_path / "p2", RunConfig(), key="k2", **told)
    assert said.outcome is Outcome.INCONCLUSIVE
    folder = tmp_path / "runs" / "k2"
    folder.mkdir(parents=True)
    arguments = {"idempotency_key": "k2", "config": RunConfig().canonical_json()}
    (folder / "request.json").write_text(json.dumps({"arguments": arguments}))
    outputs = {"outcome": "inconclusive", "evaluation": str(unclear), "bundle": str(tmp_path / "two")}
    (folder / "state.json").write_text(json.dumps({"state": "succeeded", "outputs": outputs}))
    return found


def test_a_person_takes_it_upon_themselves_by_the_key_that_the_page_shows(platform: SimpleNamespace) -> None:
    for _ in range(2):  # the same command again changes nothing
        done = CliRunner().invoke(approve, ["k2", *SIGNED], catch_exceptions=False)
        assert done.exit_code == 0
        assert "Ada" in done.output
    decided = [entry.body for entry in platform.ledger.entries("fundus") if entry.kind == "promotion"]
    assert [body["by"] for body in decided] == ["gate", "Ada"]


def test_only_what_the_gate_could_not_decide(platform: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "k2" / "state.json"
    left = json.loads(file.read_text())
    left["outputs"]["outcome"] = "refuse"
    file.write_text(json.dumps(left))
    with pytest.raises(UsageError, match="the gate did not say inconclusive: the run is succeeded, refuse"):
        CliRunner().invoke(approve, ["k2", *SIGNED], catch_exceptions=False)
    with pytest.raises(UsageError, match="there is no such run in this state folder"):
        CliRunner().invoke(approve, ["k3", *SIGNED], catch_exceptions=False)
    assert platform.models.get("fundus", "champion").version == "1"
