"""A monitor's database of every earlier version becomes one of this version, and what was in it is still there."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from monitor_kit import observation, promote, wire
from parfocal_serving.monitor.database import VERSIONS, connect, migrate
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.schema import METADATA
from parfocal_serving.monitor.store import Store, counters
from postgres_kit import BOTH
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text

from parfocal.core.errors import UsageError

ROW: Mapping[str, Mapping[str, Any]] = {
    "monitor_observations": {
        "arrival": 1, "id": "A-0", "task": "fundus", "instrument": "A", "model_version": "1", "reference_id": "r",
        "seq": 1, "time": 5.5, "received": 6.5, "embedding": b"\0\0\x80?", "shape": '{"disc.x": 0.5}',
        "acquisition": "{}", "patient_hmac": "ab12", "case_ref": None, "scored": True,
    },
    "monitor_rejected": {"digest": "d", "time": 5.0, "id": "x", "reason": "é", "content": "{}"},
    "monitor_instruments": {"task": "fundus", "instrument": "A", "observations": 1, "last_seen": 5.5},
    "monitor_detectors": {
        "task": "fundus", "instrument": "A", "stream": "appearance", "reference_id": "r", "resets": 0,
        "statistic": 1.25, "observations": 1, "alarm_at": None, "alarm_time": None, "updated": 6.5,
        "history": "[[1, 1.25]]",
    },
    "monitor_champions": {
        "number": 1, "time": 1.0, "task": "fundus", "version": "1", "checksum": "c", "reference_id": "r",
    },
    "monitor_resets": {
        "number": 1, "time": 2.0, "task": "fundus", "instrument": "A", "reference_id": "r", "by": "Ada",
        "reason": "a dirty lens", "statistics": "{}",
    },
    "monitor_decisions": {
        "number": 1, "time": 3.0, "last_time": 4.0, "times": 2, "task": "fundus", "instrument": "A",
        "action": "label", "reason": "label 3 more", "key": "k", "facts": "{}",
    },
    "monitor_runs": {
        "key": "k", "task": "fundus", "instrument": "A", "number": 1, "pipeline": "p", "arguments": "{}",
        "state": "succeeded", "run_id": "i", "outcome": "promote", "decided": 3.0, "launched": 3.5, "ended": 4.0,
        "error": "",
    },
    "monitor_counters": {"task": "fundus", "name": "accepted", "value": 1},
}  # fmt: skip
"""A row of every table, by the names that version 1 gave its columns."""


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    yield made
    made.dispose()


def made_by(version: str, engine: Engine) -> None:
    """What a program of that version left: its tables with rows in all of them."""
    with engine.begin() as connection:
        VERSIONS.bring_up(connection, "the monitor", to=version)
        for name, row in ROW.items():
            places = ", ".join(f":{column}" for column in row)
            names = ", ".join(f'"{column}"' for column in row)
            connection.execute(text(f"INSERT INTO {name} ({names}) VALUES ({places})"), row)


def rows(connection: Connection, tables: MetaData = METADATA) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in tables.sorted_tables
    }


@BOTH
@pytest.mark.parametrize("version", VERSIONS.known)
def test_every_version_becomes_this_one_with_nothing_lost(version: str, engine: Engine, database_url: str) -> None:
    made_by(version, engine)
    connect(database_url).close()
    with engine.connect() as connection:
        found = rows(connection)
        assert VERSIONS.stored(connection) == VERSIONS.known[-1]
        options = {"compare_type": True, "version_table": VERSIONS.table}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    for name, row in ROW.items():
        assert len(found[name]) == 1
        assert row.items() <= found[name][0].items(), name
    assert found["monitor_decisions"][0]["cases"] == "{}"


@BOTH
def test_a_database_from_before_versions_goes_on_where_it_was(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    made_by("v1", engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE monitor_version"))
        if engine.dialect.name == "postgresql":  # the row above has its number from us, not from the sequence
            connection.execute(text("SELECT setval('monitor_observations_arrival_seq', 1)"))
    id_ = promote(tmp_path)
    references = References(tmp_path / "serving" / "fundus")
    references.refresh()
    database = connect(database_url)
    store = Store(database, references, "fundus")
    received = store.receive(wire([observation(i, reference=id_) for i in range(3)])["observations"])
    assert (received.accepted, received.duplicates) == (2, 1)
    with database.read() as connection:
        assert counters(connection, "fundus") == {"accepted": 3, "duplicates": 1}
    database.close()


@BOTH
def test_several_that_start_at_once_on_an_old_database_take_their_turns(engine: Engine, database_url: str) -> None:
    made_by("v1", engine)
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: migrate(database_url), range(4)))
    assert sum("was of version 1" in one for one in said) == 1
    assert sum("is of version" in one for one in said) == 3


@BOTH
def test_a_newer_database_is_refused_and_left_alone(engine: Engine, database_url: str) -> None:
    connect(database_url).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE monitor_version SET version_num = 'v99'"))
        before = inspect(connection).get_table_names()
    with pytest.raises(UsageError, match="the monitor's database is of version 99, made by a newer program"):
        connect(database_url)
    with engine.connect() as connection:
        assert VERSIONS.stored(connection) == "v99"
        assert inspect(connection).get_table_names() == before


def test_the_command_says_what_it_did_and_refuses_with_the_code_of_wrong_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'm.db'}"
    command = [sys.executable, "-m", "parfocal", "monitor", "migrate"]
    environment = {**os.environ, "PARFOCAL_DATABASE_URL": url, "PARFOCAL_STATE": str(tmp_path)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stdout) == (0, f"{url} was empty, is now of version {VERSIONS.known[-1][1:]}\n")
    with create_engine(url).begin() as connection:
        connection.execute(text("UPDATE monitor_version SET version_num = 'v99'"))
    refused = run()
    assert refused.returncode == 2
    assert "newer program" in refused.stderr
