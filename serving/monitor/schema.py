"""The monitor's tables as this program uses them. Times are unix seconds; JSON is text, so that every database keeps it
alike. How a database gets there is in `versions`: a change here is a step there, and a test compares the two.

Observations are pruned by age. Decisions, runs, champions, resets and counters never are.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
_COUNTING = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of exactly this type."""

OBSERVATIONS = Table(
    "monitor_observations",
    METADATA,
    Column("arrival", _COUNTING, primary_key=True, autoincrement=True),
    Column("id", String(250), nullable=False, unique=True),
    Column("task", String(250), nullable=False),
    Column("instrument", String(250), nullable=False),  # "": the request declared none
    Column("model_version", String(250), nullable=False),
    Column("reference_id", String(250), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("embedding", LargeBinary, nullable=False),  # little-endian float32
    Column("shape", Text, nullable=False),
    Column("acquisition", Text, nullable=False),
    Column("patient_hmac", String(250)),
    Column("case_ref", String(250)),
    Column("scored", Boolean, nullable=False),
)
Index("monitor_observations_patient", OBSERVATIONS.c.patient_hmac, OBSERVATIONS.c.time)
Index("monitor_observations_received", OBSERVATIONS.c.received)
Index(
    "monitor_observations_newest",
    OBSERVATIONS.c.task,
    OBSERVATIONS.c.instrument,
    OBSERVATIONS.c.reference_id,
    OBSERVATIONS.c.arrival,
)
Index(
    "monitor_observations_unscored",
    OBSERVATIONS.c.reference_id,
    OBSERVATIONS.c.arrival,
    sqlite_where=~OBSERVATIONS.c.scored,
    postgresql_where=~OBSERVATIONS.c.scored,
)

REJECTED = Table(
    "monitor_rejected",
    METADATA,
    Column("digest", String(64), primary_key=True),  # of what came: the same thing sent again is one row
    Column("time", Float, nullable=False),
    Column("id", String(250), nullable=False),
    Column("reason", Text, nullable=False),
    Column("content", Text, nullable=False),
)

INSTRUMENTS = Table(
    "monitor_instruments",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("instrument", String(250), primary_key=True),
    Column("observations", BigInteger, nullable=False),
    Column("last_seen", Float, nullable=False),
)

DETECTORS = Table(
    "monitor_detectors",
    METADATA,
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
    Column("history", Text, nullable=False),  # JSON: the newest [observation, statistic] pairs
)

CHAMPIONS = Table(
    "monitor_champions",
    METADATA,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),  # when the monitor saw it take over
    Column("task", String(250), nullable=False),
    Column("version", String(250), nullable=False),
    Column("checksum", String(250), nullable=False),
    Column("reference_id", String(250), nullable=False),
)

RESETS = Table(
    "monitor_resets",
    METADATA,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("task", String(250), nullable=False),
    Column("instrument", String(250), nullable=False),
    Column("reference_id", String(250), nullable=False),
    Column("by", String(250), nullable=False),
    Column("reason", Text, nullable=False),
    Column("statistics", Text, nullable=False),  # JSON: what each stream stood at
)

DECISIONS = Table(
    "monitor_decisions",
    METADATA,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("last_time", Float, nullable=False),
    Column("times", Integer, nullable=False),  # the same decision again is counted here
    Column("task", String(250), nullable=False),
    Column("instrument", String(250), nullable=False),
    Column("action", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("key", Text, nullable=False),  # has the instrument's name in it, as long as requests may make that
    Column("facts", Text, nullable=False),  # JSON: what it was decided on
    Column("cases", Text, nullable=False, server_default="{}"),  # JSON: those most worth a label
)
Index("monitor_decisions_instrument", DECISIONS.c.task, DECISIONS.c.instrument, DECISIONS.c.number)

RUNS = Table(
    "monitor_runs",
    METADATA,
    Column("key", String(250), primary_key=True),
    Column("task", String(250), nullable=False),
    Column("instrument", String(250), nullable=False),
    Column("number", Integer, nullable=False),  # of the experience that it closes
    Column("pipeline", Text, nullable=False),
    Column("arguments", Text, nullable=False),  # JSON: exactly what the pipeline gets
    Column("state", String(20), nullable=False),
    Column("run_id", String(250), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("decided", Float, nullable=False),
    Column("launched", Float),
    Column("ended", Float),
    Column("error", Text, nullable=False),
    UniqueConstraint("task", "instrument", "number"),
)

COUNTERS = Table(
    "monitor_counters",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

LEADERS = Table(
    "monitor_leaders",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("name", String(250), nullable=False),
    Column("since", Float, nullable=False),
)
