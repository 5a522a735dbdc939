"""Candidate instruments, and what annotators do."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Text, text

revision, down_revision = "v3", "v2"
COUNTING = BigInteger().with_variant(Integer, "sqlite")


def upgrade(op: Operations) -> None:
    """Nothing that is there changes."""
    _candidates(op)
    _annotation(op)


def _candidates(op: Operations) -> None:
    """Groups of cases that look like no known instrument."""
    op.create_table(
        "monitor_candidates",
        Column("task", String(250), primary_key=True),
        Column("id", String(20), primary_key=True),
        Column("reference_id", String(250), nullable=False),
        Column("state", String(20), nullable=False),
        Column("name", String(250), nullable=False),
        Column("instrument", String(250), nullable=False),
        Column("merged_into", String(20), nullable=False),
        Column("tightness", Float, nullable=False),
        Column("examples", Text, nullable=False),
        Column("cases", Text, nullable=False),
        Column("by_hand", Boolean, nullable=False),
        Column("found", Float, nullable=False),
        Column("updated", Float, nullable=False),
    )
    op.create_table(
        "monitor_assignments",
        Column("arrival", BigInteger, primary_key=True, autoincrement=False),
        Column("task", String(250), nullable=False),
        Column("candidate", String(20), nullable=False),
        Column("time", Float, nullable=False),
        Column("moved", Boolean, nullable=False),
    )
    op.create_index("monitor_assignments_candidate", "monitor_assignments", ["task", "candidate", "arrival"])
    op.create_table(
        "monitor_candidate_actions",
        Column("number", COUNTING, primary_key=True, autoincrement=True),
        Column("time", Float, nullable=False),
        Column("task", String(250), nullable=False),
        Column("candidate", String(20), nullable=False),
        Column("action", String(20), nullable=False),
        Column("target", String(250), nullable=False),
        Column("by", String(250), nullable=False),
        Column("reason", Text, nullable=False),
        Column("facts", Text, nullable=False),
    )


def _annotation(op: Operations) -> None:
    """Cases given out to be labelled, and what became of each."""
    op.create_table(
        "monitor_annotations",
        Column("task", String(250), primary_key=True),
        Column("case_id", String(250), primary_key=True),
        Column("reading", Integer, primary_key=True),
        Column("instrument", String(250), nullable=False),
        Column("patient", String(250), nullable=False),
        Column("side", String(20), nullable=False),
        Column("state", String(20), nullable=False),
        Column("annotator", String(250), nullable=False),
        Column("token", String(64), nullable=False),
        Column("until", Float, nullable=False),
        Column("offered", Float, nullable=False),
        Column("ended", Float),
        Column("shown", Boolean, nullable=False),
        Column("why", Text, nullable=False),
        Column("draft", Text, nullable=False),
        Column("draft_by", String(250), nullable=False),
        Column("proposal", Text, nullable=False),
        Column("masks", Text, nullable=False),
        Column("agreement", Text, nullable=False),
    )
    op.create_index("monitor_annotations_state", "monitor_annotations", ["task", "instrument", "state"])
    op.create_table(
        "monitor_annotation_log",
        Column("number", COUNTING, primary_key=True, autoincrement=True),
        Column("time", Float, nullable=False),
        Column("task", String(250), nullable=False),
        Column("case_id", String(250), nullable=False),
        Column("annotator", String(250), nullable=False),
        Column("action", String(20), nullable=False),
        Column("reason", Text, nullable=False),
        Column("facts", Text, nullable=False),
    )
    op.create_index("monitor_annotation_log_who", "monitor_annotation_log", ["task", "annotator", "action"])
    captured = text("case_ref IS NOT NULL")
    op.create_index(
        "monitor_observations_captured",
        "monitor_observations",
        ["task", "instrument", "arrival"],
        sqlite_where=captured,
        postgresql_where=captured,
    )
