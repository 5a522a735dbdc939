"""A database of every earlier version becomes one of this version, with nothing lost; one of a later is refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres_kit import BOTH
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text

from parfocal.adapters import database
from parfocal.adapters.database import SqlLedger
from parfocal.adapters.versions import Versions
from parfocal.core.errors import UsageError


def differences(connection: Connection, wanted: MetaData) -> list[object]:
    """Between the tables of a database and those that the program uses, its own alone."""

    def ours(_: object, name: str | None, kind: str, __: bool, ___: object) -> bool:
        return kind != "table" or name in wanted.tables

    context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
    return list(compare_metadata(context, wanted))


@BOTH
def test_the_steps_end_at_the_tables_that_the_ledger_uses(database_url: str) -> None:
    SqlLedger(database_url).verify()
    engine: Engine = create_engine(database_url)
    with engine.connect() as connection:
        assert differences(connection, database.METADATA) == []
    engine.dispose()


def test_a_ledger_from_before_versions_keeps_its_chain_and_its_guards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'l.db'}"
    written = [SqlLedger(url).append("decision", "fundus", f"k{i}", {"i": i}) for i in range(3)]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE ledger_version"))
    again = SqlLedger(url)
    assert list(again.entries()) == written
    assert again.append("decision", "fundus", "k3", {}).seq == 4
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM ledger_version")).scalar() == "v1"
        guards = connection.execute(text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")).scalar()
    assert guards == 3
    engine.dispose()


STEP = """
from sqlalchemy import Column, Integer
revision, down_revision = "v{0}", {1!r}
def upgrade(op):
    op.create_table("thing{0}", Column("n", Integer))
    {2}
"""


@BOTH
def test_steps_that_fail_leave_the_database_as_it_was(tmp_path: Path, database_url: str) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "v1.py").write_text(STEP.format(1, None, ""))
    (steps / "v2.py").write_text(STEP.format(2, "v1", ""))
    (steps / "v3.py").write_text(STEP.format(3, "v2", "raise RuntimeError('the power went')"))
    found = database.Database(
        database_url, Versions(steps, "thing_version", first="thing1"), name="a thing", lock=1, advice=""
    )
    with pytest.raises(RuntimeError, match="power"), found.read():
        pass
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    (steps / "v3.py").write_text(STEP.format(3, "v2", ""))
    assert found.migrate() == ""
    assert set(inspect(engine).get_table_names()) == {"thing1", "thing2", "thing3", "thing_version"}
    for number in range(4, 12):  # as numbers, not as words
        (steps / f"v{number}.py").write_text(STEP.format(number, f"v{number - 1}", ""))
    found.close()
    assert found.migrate() == "v3"
    assert inspect(engine).has_table("thing11")
    (steps / "v11.py").unlink()
    found.close()
    with pytest.raises(UsageError, match="of version 11, made by a newer program") as refused, found.write():
        pass
    assert "version 10 or older" in refused.value.expected
    engine.dispose()
    found.close()
