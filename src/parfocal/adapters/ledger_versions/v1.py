"""The chain, and the triggers that refuse to change it.

Refusing in the database itself stops the honest mistake, such as a migration or a person with a SQL prompt; the hash
chain finds the rest. The insert trigger is there because INSERT OR REPLACE deletes without a delete trigger.
"""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, Integer, String, Text, UniqueConstraint

revision, down_revision = "v1", None

GUARDS = {
    "sqlite": (
        "CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "CREATE TRIGGER IF NOT EXISTS ledger_no_replace BEFORE INSERT ON ledger "
        "WHEN EXISTS (SELECT 1 FROM ledger WHERE seq = NEW.seq OR hash = NEW.hash "
        "OR (kind = NEW.kind AND task = NEW.task AND key = NEW.key)) "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
    ),
}


def upgrade(op: Operations) -> None:
    """Make the table and its guards."""
    op.create_table(
        "ledger",
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("time", String(40), nullable=False),
        Column("kind", String(40), nullable=False),
        Column("task", String(80), nullable=False),
        Column("key", String(250), nullable=False),
        Column("body", Text, nullable=False),
        Column("previous", String(64), nullable=False),
        Column("hash", String(64), nullable=False, unique=True),
        UniqueConstraint("kind", "task", "key"),
    )
    for statement in GUARDS.get(op.get_bind().dialect.name, ()):
        op.execute(statement)
