"""The tables as they were before versions were kept."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)

revision, down_revision = "v1", None


def upgrade(op: Operations) -> None:
    """Make all of them."""
    _observations(op)
    _detectors(op)
    _decisions(op)


def _counting() -> BigInteger:
    return BigInteger().with_variant(Integer, "sqlite")


def _observations(op: Operations) -> None:
    op.create_table(
        "monitor_observations",
        Column("arrival", _counting(), primary_key=True, autoincrement=True),
        Column("id", String(250), nullable=False, unique=True),
        Column("task", String(250), nullable=False),
        Column("instrument", String(250), nullable=False),
        Column("model_version", String(250), nullable=False),
        Column("reference_id", String(250), nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("time", Float, nullable=False),
        Column("received", Float, nullable=False),
        Column("embedding", LargeBinary, nullable=False),
        Column("shape", Text, nullable=False),
        Column("acquisition", Text, nullable=False),
        Column("patient_hmac", String(250)),
        Column("case_ref", String(250)),
        Column("scored", Boolean, nullable=False),
    )
    op.create_index("monitor_observations_patient", "monitor_observations", ["patient_hmac", "time"])
    op.create_index("monitor_observations_received", "monitor_observations", ["received"])
    op.create_index(
        "monitor_observations_unscored",
        "monitor_observations",
        ["reference_id", "arrival"],
        sqlite_where=text("scored = 0"),
        postgresql_where=text("NOT scored"),
    )
    op.create_table(
        "monitor_rejected",
        Column("digest", String(64), primary_key=True),
        Column("time", Float, nullable=False),
        Column("id", String(250), nullable=False),
        Column("reason", Text, nullable=False),
        Column("content", Text, nullable=False),
    )
    op.create_table(
        "monitor_instruments",
        Column("task", String(250), primary_key=True),
        Column("instrument", String(250), primary_key=True),
        Column("observations", BigInteger, nullable=False),
        Column("last_seen", Float, nullable=False),
    )
    op.create_table(
        "monitor_counters",
        Column("task", String(250), primary_key=True),
        Column("name", String(80), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )


def _detectors(op: Operations) -> None:
    op.create_table(
        "monitor_detectors",
        Column("task", String(250), primary_key=True),
        Column("instrument", String(250), primary_key=True),
        Column("stream", String(80), primary_key=True),
        Column("reference_id", String(250), primary_key=True),
        Column("resets", Integer, nullable=False),
        Column("statistic", Float, nullable=False),
        Column("observations", BigInteger, nullable=False),
        Column("alarm_at", BigInteger),
        Column("alarm_time", Float),
        Column("updated", Float, nullable=False),
        Column("history", Text, nullable=False),
    )
    op.create_table(
        "monitor_champions",
        Column("number", _counting(), primary_key=True, autoincrement=True),
        Column("time", Float, nullable=False),
        Column("task", String(250), nullable=False),
        Column("version", String(250), nullable=False),
        Column("checksum", String(250), nullable=False),
        Column("reference_id", String(250), nullable=False),
    )
    op.create_table(
        "monitor_resets",
        Column("number", _counting(), primary_key=True, autoincrement=True),
        Column("time", Float, nullable=False),
        Column("task", String(250), nullable=False),
        Column("instrument", String(250), nullable=False),
        Column("reference_id", String(250), nullable=False),
        Column("by", String(250), nullable=False),
        Column("reason", Text, nullable=False),
        Column("statistics", Text, nullable=False),
    )


def _decisions(op: Operations) -> None:
    op.create_table(
        "monitor_decisions",
        Column("number", _counting(), primary_key=True, autoincrement=True),
        Column("time", Float, nullable=False),
        Column("last_time", Float, nullable=False),
        Column("times", Integer, nullable=False),
        Column("task", String(250), nullable=False),
        Column("instrument", String(250), nullable=False),
        Column("action", String(20), nullable=False),
        Column("reason", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("facts", Text, nullable=False),
    )
    op.create_index("monitor_decisions_instrument", "monitor_decisions", ["task", "instrument", "number"])
    op.create_table(
        "monitor_runs",
        Column("key", String(250), primary_key=True),
        Column("task", String(250), nullable=False),
        Column("instrument", String(250), nullable=False),
        Column("number", Integer, nullable=False),
        Column("pipeline", Text, nullable=False),
        Column("arguments", Text, nullable=False),
        Column("state", String(20), nullable=False),
        Column("run_id", String(250), nullable=False),
        Column("outcome", String(40), nullable=False),
        Column("decided", Float, nullable=False),
        Column("launched", Float),
        Column("ended", Float),
        Column("error", Text, nullable=False),
        UniqueConstraint("task", "instrument", "number"),
    )
