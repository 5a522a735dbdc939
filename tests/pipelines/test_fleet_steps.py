"""The small steps of `fleet` and of a pipeline's end, without Kubeflow."""

import json
from pathlib import Path

import pytest
from parfocal_serving.monitor import told
from promotion_kit import MemoryStore, write_bundle

from parfocal.adapters.database import SqlLedger
from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.manifest import Manifest
from parfocal.steps import champion, plan_fleet, report_end
from parfocal.steps.config import RunConfig
from parfocal.steps.report_end import Ended


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_key_starts_from_the_same_champion_again_and_another_key_from_the_present_one(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    store = MemoryStore()
    checksums = []
    for name in ("one", "two"):
        checksums.append(write_bundle(tmp_path / name, f"weights {name}"))
        store.register(tmp_path / name, "fundus")
    store.set_alias("fundus", "champion", "1")

    def take(out: str, key: str) -> Manifest:
        fetched = tmp_path / "models"
        return champion.run(tmp_path / out, RunConfig(), key=key, store=store, ledger=ledger, fetched=fetched)

    assert take("b", "fleet-B").checksum == checksums[0]
    store.set_alias("fundus", "champion", "2")
    assert take("b-again", "fleet-B").checksum == checksums[0], "its checkpoints began there"
    assert take("c", "fleet-C").checksum == checksums[1]
    assert manifest.verify(tmp_path / "c", "bundle").checksum == checksums[1]


def test_without_a_champion_the_message_names_the_pipeline_that_makes_one(tmp_path: Path, ledger: SqlLedger) -> None:
    with pytest.raises(UsageError, match="fundus has no champion") as raised:
        champion.run(tmp_path / "b", RunConfig(), key="k", store=MemoryStore(), ledger=ledger, fetched=tmp_path)
    assert "initial" in raised.value.next
    assert not ledger.entries()


def test_every_instrument_gets_its_own_settings_and_key_in_the_order_of_the_names() -> None:
    work = plan_fleet.run({"C": "s3://c", "B": "s3://b"}, RunConfig.parse({"seed": 7}), key="fleet-3")
    assert [(piece["key"], piece["experience_uri"]) for piece in work] == [
        ("fleet-3-B", "s3://b"),
        ("fleet-3-C", "s3://c"),
    ]
    configs = [json.loads(piece["config"]) for piece in work]
    assert [(config["data"]["instrument"], config["seed"]) for config in configs] == [("B", 7), ("C", 7)]
    assert all(isinstance(value, str) for piece in work for value in piece.values())


@pytest.mark.parametrize("experiences", [{}, {"": "s3://b"}, {"B": " "}])
def test_an_experience_without_a_name_or_an_address_is_refused(experiences: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no experiences"):
        plan_fleet.run(experiences, RunConfig(), key="k")


def test_a_run_that_failed_and_then_succeeded_under_its_key_is_two_entries_and_each_is_written_once(
    ledger: SqlLedger,
) -> None:
    def end(state: str, config: str = "") -> None:
        ended = Ended(pipeline="parfocal-initial", key="k", state=state, job="run-1", error="preprocess failed")
        report_end.run(ended, config, ledger=ledger, task="lung")

    end("FAILED", '{"bogus": 1}')  # a configuration that nobody can read is why it failed
    end("FAILED", '{"bogus": 1}')
    end("SUCCEEDED")
    said = [(entry.task, entry.body["state"], entry.body["error"]) for entry in ledger.entries()]
    assert said == [("lung", "failed", "preprocess failed"), ("fundus", "succeeded", "")]


def test_steps_with_a_loop_that_kubeflow_still_calls_running_have_not_failed(ledger: SqlLedger) -> None:
    ended = Ended(pipeline="parfocal-fleet", key="k", state="RUNNING", job="run-1")
    assert report_end.run(ended, "", ledger=ledger, task="fundus").body["state"] == "unknown"
    assert told.of(ledger.entries("fundus"), "k", None) == told.Told()
