"""Candidate instruments, and what annotators do."""

from __future__ import annotations

from alembic.operations import Operations

revision, down_revision = "v3", "v2"


def upgrade(op: Operations) -> None:
    """Nothing that is there changes."""
    _candidates(op)
    _annotation(op)


def _candidates(op: Operations) -> None:
    """Groups of cases that look like no known instrument."""


def _annotation(op: Operations) -> None:
    """Cases given out to be labelled, and what became of each."""
