"""The sides of some patients are found without reading every label."""

from __future__ import annotations

from alembic.operations import Operations

revision, down_revision = "v4", "v3"


def upgrade(op: Operations) -> None:
    """Nothing that is there changes."""
    op.create_index("monitor_annotations_patient", "monitor_annotations", ["task", "patient", "side"])
