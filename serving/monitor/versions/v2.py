"""Who leads where two monitors share a database, the cases that a decision asks labels for, an instrument's newest."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, Float, String, Text

revision, down_revision = "v2", "v1"


def upgrade(op: Operations) -> None:
    """Nothing that is there changes; decisions of before name no cases."""
    op.create_table(
        "monitor_leaders",
        Column("task", String(250), primary_key=True),
        Column("name", String(250), nullable=False),
        Column("since", Float, nullable=False),
    )
    op.add_column("monitor_decisions", Column("cases", Text, nullable=False, server_default="{}"))
    op.create_index(
        "monitor_observations_newest", "monitor_observations", ["task", "instrument", "reference_id", "arrival"]
    )
