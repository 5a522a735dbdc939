"""The monitor's tables as this program uses them. Times are unix seconds; JSON is text, so that every database keeps it
alike. How a database gets there is in `versions`: a change here is a step there, and a test compares the two.

Observations are pruned by age, and with them what is said of each. Decisions, runs, champions, resets, candidates, what
was done with them, and counters never are.
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
    "monitor_observations_captured",
    OBSERVATIONS.c.task,
    OBSERVATIONS.c.instrument,
    OBSERVATIONS.c.arrival,
    sqlite_where=OBSERVATIONS.c.case_ref.is_not(None),
    postgresql_where=OBSERVATIONS.c.case_ref.is_not(None),
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

CANDIDATES = Table(
    "monitor_candidates",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("id", String(20), primary_key=True),
    Column("reference_id", String(250), nullable=False),  # under which its cases are comparable
    Column("state", String(20), nullable=False),
    Column("name", String(250), nullable=False),
    Column("instrument", String(250), nullable=False),  # that a person said it is; "" before
    Column("merged_into", String(20), nullable=False),
    Column("tightness", Float, nullable=False),
    Column("examples", Text, nullable=False),  # JSON: ids of the most typical cases
    Column("cases", Text, nullable=False),  # JSON: those most worth a label, as a decision has them
    Column("by_hand", Boolean, nullable=False),  # another was merged into it: it is never split
    Column("found", Float, nullable=False),
    Column("updated", Float, nullable=False),
)

ASSIGNMENTS = Table(
    "monitor_assignments",
    METADATA,
    Column("arrival", BigInteger, primary_key=True, autoincrement=False),  # of the observation
    Column("task", String(250), nullable=False),
    Column("candidate", String(20), nullable=False),
    Column("time", Float, nullable=False),
    Column("moved", Boolean, nullable=False),  # the detectors of the instrument that it was named have seen it
)
Index("monitor_assignments_candidate", ASSIGNMENTS.c.task, ASSIGNMENTS.c.candidate, ASSIGNMENTS.c.arrival)

CANDIDATE_ACTIONS = Table(
    "monitor_candidate_actions",
    METADATA,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("task", String(250), nullable=False),
    Column("candidate", String(20), nullable=False),
    Column("action", String(20), nullable=False),
    Column("target", String(250), nullable=False),  # the instrument, or the candidate that it is part of now
    Column("by", String(250), nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", Text, nullable=False),  # JSON: what it was before
)

LEADERS = Table(
    "monitor_leaders",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("name", String(250), nullable=False),
    Column("since", Float, nullable=False),
)

ANNOTATIONS = Table(
    "monitor_annotations",
    METADATA,
    Column("task", String(250), primary_key=True),
    Column("case_id", String(250), primary_key=True),  # id of its observation
    Column("reading", Integer, primary_key=True),  # 0; 1 when a second person labels it too
    Column("instrument", String(250), nullable=False),
    Column("patient", String(250), nullable=False),
    Column("side", String(20), nullable=False),  # of the split, drawn when the case was first given out
    Column("state", String(20), nullable=False),
    Column("annotator", String(250), nullable=False),
    Column("token", String(64), nullable=False),  # SHA-256 of the lease's
    Column("until", Float, nullable=False),  # when the lease lapses
    Column("offered", Float, nullable=False),
    Column("ended", Float),
    Column("shown", Boolean, nullable=False),  # whether this annotator saw anything of a model
    Column("why", Text, nullable=False),  # JSON: why it is worth a label
    Column("draft", Text, nullable=False),  # JSON of the page; "": none
    Column("draft_by", String(250), nullable=False),
    Column("proposal", Text, nullable=False),  # JSON: masks of the model that were shown, and who made them; "": none
    Column("masks", Text, nullable=False),  # JSON: what was accepted, run lengths by structure; "": nothing yet
    Column("agreement", Text, nullable=False),  # JSON: Dice by structure with the proposal, and with the first reading
)
Index("monitor_annotations_state", ANNOTATIONS.c.task, ANNOTATIONS.c.instrument, ANNOTATIONS.c.state)
Index("monitor_annotations_patient", ANNOTATIONS.c.task, ANNOTATIONS.c.patient, ANNOTATIONS.c.side)

ANNOTATION_LOG = Table(
    "monitor_annotation_log",
    METADATA,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("task", String(250), nullable=False),
    Column("case_id", String(250), nullable=False),
    Column("annotator", String(250), nullable=False),
    Column("action", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", Text, nullable=False),  # JSON: such as the seconds and the clicks that a label took
)
Index("monitor_annotation_log_who", ANNOTATION_LOG.c.task, ANNOTATION_LOG.c.annotator, ANNOTATION_LOG.c.action)
