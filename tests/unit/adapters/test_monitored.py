"""What is read of the monitor's database is what the monitor writes, and looking changes nothing."""

import json
from pathlib import Path

import pytest
from parfocal_serving.monitor import schema
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.segmenter.patients import load_secret
from parfocal_serving.segmenter.patients import pseudonym as segmenters
from sqlalchemy import Engine, create_engine, insert

from parfocal.adapters import monitored
from parfocal.adapters.monitored import MonitoredSettings
from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.promotion.evidence import Origin

KEY = "fundus-B-v3-0123456789ab"
FACTS = {"epoch": "0123456789ab", "champion": "3", "alarm_time": 900.0, "labelled": 42, "instrument": "B"}


def here(state: Path, **more: str) -> MonitoredSettings:
    return MonitoredSettings(state=state, database_url="", patient_secret="", image="", **more)


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    engine = create_engine(here(tmp_path).monitor_database)
    schema.METADATA.create_all(engine)
    return engine


def seen(engine: Engine, number: int, patient: str, time: float, version: str = "3", task: str = "fundus") -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(schema.OBSERVATIONS).values(
                id=f"r{number}", task=task, instrument="B", model_version=version, reference_id="f" * 64, seq=number,
                time=time, received=time + 1, embedding=b"", shape="{}", acquisition="{}", patient_hmac=patient,
                scored=True,
            )
        )  # fmt: skip


def decided(engine: Engine, facts: dict[str, object], action: str = "start", key: str = KEY) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(schema.DECISIONS).values(
                time=1000.0, last_time=1000.0, times=1, task="fundus", instrument="B", action=action, reason="why",
                key=key, facts=json.dumps(facts),
            )
        )  # fmt: skip


@pytest.mark.parametrize("ours", [monitored.OBSERVATIONS, monitored.DECISIONS, monitored.DETECTORS])
def test_every_column_that_is_read_is_one_that_the_monitor_writes(ours: object) -> None:
    theirs = schema.METADATA.tables[ours.name]  # type: ignore[attr-defined]
    assert {column.name for column in ours.columns} <= {column.name for column in theirs.columns}  # type: ignore[attr-defined]


def test_database_and_pseudonym_are_those_of_the_services(tmp_path: Path) -> None:
    assert here(tmp_path).monitor_database == MonitorSettings(state=tmp_path, database_url="").monitor_database
    secret = load_secret("", tmp_path)
    assert monitored.pseudonym(here(tmp_path), "4711") == segmenters(secret, "4711")
    given = MonitoredSettings(state=tmp_path, patient_secret="of the clinic")
    assert monitored.pseudonym(given, "4711") == segmenters(b"of the clinic", "4711")


def test_without_the_secret_nobody_is_looked_for_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="secret is not here"):
        monitored.pseudonym(here(tmp_path), "4711")
    assert list(tmp_path.iterdir()) == []


def test_a_patients_answers_are_those_of_the_period_and_the_task_oldest_first(tmp_path: Path, database: Engine) -> None:
    for number, (patient, time) in enumerate([("p", 30.0), ("p", 10.0), ("q", 20.0), ("p", 40.0)]):
        seen(database, number, patient, time, version=str(number))
    seen(database, 9, "p", 15.0, task="lung")
    found = monitored.answers(here(tmp_path), "fundus", "p", 10.0, 40.0)
    assert [(one.time, one.version, one.instrument) for one in found] == [(10.0, "1", "B"), (30.0, "0", "B")]


def test_where_no_monitor_is_nothing_is_made_and_a_person_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no monitor has kept observations here"):
        monitored.answers(here(tmp_path), "fundus", "p", 0, 1)
    assert monitored.origin(KEY, here(tmp_path)) == Origin()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutsideServiceError):
        monitored.origin(KEY, MonitoredSettings(state=tmp_path, database_url="postgresql://nobody@127.0.0.1:9/none"))


def test_the_alarm_behind_a_run_is_found_by_its_key_with_statistic_and_threshold(
    tmp_path: Path, database: Engine
) -> None:
    streams = [{"stream": "appearance", "statistic": 9.5, "threshold": 9.1, "alarm_at": 7, "alarm_time": 900.0}]
    decided(database, {}, action="none")
    decided(database, {**FACTS, "streams": streams})
    decided(database, {}, action="start")  # a person had it tried again
    alarm = monitored.origin(KEY, here(tmp_path)).alarm
    assert alarm is not None
    assert (alarm["instrument"], alarm["time"], alarm["reference"], alarm["streams"]) == (
        "B", 900.0, "0123456789ab", streams,
    )  # fmt: skip
    assert monitored.origin("by-hand", here(tmp_path)).alarm is None


def test_of_a_decision_without_its_streams_the_detectors_tell(tmp_path: Path, database: Engine) -> None:
    decided(database, FACTS)
    with database.begin() as connection:
        for stream, reference, at in (("framing", "0123456789ab" + "c" * 52, 7), ("appearance", "d" * 64, 3)):
            connection.execute(
                insert(schema.DETECTORS).values(
                    task="fundus", instrument="B", stream=stream, reference_id=reference, resets=0, statistic=20.0,
                    observations=40, alarm_at=at, alarm_time=900.0, updated=1.0,
                    history=json.dumps([[6, 8.0], [7, 9.5]]),
                )
            )  # fmt: skip
    alarm = monitored.origin(KEY, here(tmp_path)).alarm
    assert alarm is not None
    assert [(one["stream"], one["statistic"], one["threshold"]) for one in alarm["streams"]] == [("framing", 9.5, None)]


def test_the_image_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_IMAGE", "registry/parfocal@sha256:" + "0" * 64)
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    assert monitored.origin(KEY).image == "registry/parfocal@sha256:" + "0" * 64
