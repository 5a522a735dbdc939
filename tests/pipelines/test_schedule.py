"""A recurring run: what a Kubeflow Pipelines API is sent, and what is refused before anything is sent."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from kubeflow_kit import serving

from parfocal.adapters import kubeflow
from parfocal.adapters.kubeflow import KubeflowSettings
from parfocal.adapters.kubeflow_schedule import schedule
from parfocal.cli import parfocal
from parfocal.core.errors import UsageError

ARGUMENTS = {"config": "", "experiences": '{"B": "s3://b/[[ScheduledTime.2006-01]]"}', "idempotency_key": "m-[[Index]]"}
MONTHLY = "0 3 1 * *"


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """kfp reads a file in the home folder and the environment."""
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "PARFOCAL_KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def keyed(**changes: str) -> dict[str, str]:
    return {**ARGUMENTS, "idempotency_key": "fleet-[[ScheduledTime]]", **changes}


def test_one_run_at_a_time_none_for_a_missed_time_and_the_same_call_again_changes_nothing() -> None:
    fleet = kubeflow.pipeline("fleet")
    with serving() as server:
        settings = KubeflowSettings(host=server.url)
        first = schedule(fleet, keyed(), name="monthly", cron=MONTHLY, settings=settings)
        again = schedule(fleet, keyed(), name="monthly", cron=MONTHLY, settings=settings)
        with pytest.raises(UsageError, match="another recurring run 'monthly'"):
            schedule(fleet, keyed(), name="monthly", cron="0 4 1 * *", settings=settings)

    (made,) = server.recurring
    assert (made.max_concurrency, made.no_catchup, made.mode) == ("1", True, "ENABLE")
    assert made.trigger.cron_schedule.cron == "0 0 3 1 * *"
    assert made.runtime_config.parameters["experiences"] == {"B": "s3://b/[[ScheduledTime.2006-01]]"}
    assert (first.created, again.created, first.recurring_run_id) == (True, False, again.recurring_run_id)
    assert server.runs == []


@pytest.mark.parametrize(
    ("name", "changes", "cron", "complaint"),
    [
        ("fleet", {"idempotency_key": "fleet-1"}, MONTHLY, "same key"),
        ("fleet", {"experiences": "camera-b"}, MONTHLY, "not a JSON object"),
        ("fleet", {}, "monthly", "no schedule"),
        ("continual", {"champion_uri": "s3://b/1", "experience_uri": "s3://b/2"}, MONTHLY, "may be another"),
    ],
)
def test_what_would_go_wrong_later_is_refused_now(
    name: str, changes: dict[str, str], cron: str, complaint: str
) -> None:
    file = kubeflow.pipeline(name)
    arguments = {key: value for key, value in keyed(**changes).items() if key in kubeflow.Compiled.read(file).inputs}
    with serving() as server, pytest.raises(UsageError, match=complaint):
        schedule(file, arguments, name="n", cron=cron, settings=KubeflowSettings(host=server.url))
    assert server.requests == []


def test_the_command_names_the_instruments_and_puts_the_time_into_the_key() -> None:
    command = ["pipeline", "schedule", "fleet", "--cron", MONTHLY, "--experience", "C=s3://c", "--json"]
    with serving() as server:
        said = CliRunner().invoke(parfocal, [*command, "--experience", "B=s3://b/1", "--host", server.url])
        assert said.exit_code == 0, said.output
        again = CliRunner().invoke(parfocal, [*command, "--experience", "B=s3://b/1", "--host", server.url])
        assert json.loads(again.output)["created"] is False
    (made,) = server.recurring
    assert made.display_name == "fleet"
    assert made.runtime_config.parameters["experiences"] == {"B": "s3://b/1", "C": "s3://c"}
    assert made.runtime_config.parameters["idempotency_key"] == "fleet-[[ScheduledTime]]"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["fleet", "--experience", "s3://b/1"], "INSTRUMENT=FOLDER"),
        (["initial", "--experience", "s3://b/1", "--experience", "s3://b/2"], "takes one experience"),
        (["continual", "--experience", "s3://b/1"], "schedule `fleet`"),
    ],
)
def test_the_command_says_what_to_do_instead(arguments: list[str], complaint: str) -> None:
    said = CliRunner().invoke(
        parfocal, ["pipeline", "schedule", *arguments, "--cron", MONTHLY, "--host", "http://nowhere"]
    )
    assert said.exit_code != 0
    assert complaint in said.output + str(said.exception)
