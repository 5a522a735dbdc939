"""Errors that say what failed, where, what was expected and what to do next.

Each class carries the exit code that the command line returns for it, so a caller (a shell script, a Kubeflow
step, a person) can tell a bad file from a service that is down.
"""

from __future__ import annotations


class ParfocalError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        what: what failed, in one sentence.
        where: file, key or case the failure belongs to.
        expected: what would have been right.
        next: what the reader should do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", expected: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.expected = expected
        self.next = next

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.next:
            parts.append(f"next: {self.next}")
        return "\n  ".join(parts)


class UsageError(ParfocalError):
    """A command line or a configuration that cannot be carried out."""

    exit_code = 2


class DataContractError(ParfocalError):
    """Data (images, masks, a bundle, a manifest) that breaks the contract in docs/contracts.md."""

    exit_code = 3


class GateRefusedError(ParfocalError):
    """The gate said no or could not say. Raised on the command line alone: in a pipeline it is an output."""

    exit_code = 4


class DriftFoundError(ParfocalError):
    """A detector crossed its threshold."""

    exit_code = 5


class OutsideServiceError(ParfocalError):
    """A service outside this process (MLflow, Kubeflow, a database) failed. The same command may be tried again."""

    exit_code = 6
