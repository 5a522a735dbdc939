"""Who sent a request, as its guard found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCOPE = "parfocal.caller"
"""Key of an ASGI scope under which the guard leaves the caller."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or a program that a token names.

    Attributes:
        name: of the token, as the audit log and a label's `annotator` have it.
        roles: of `segment`, `annotate`, `operate`.
    """

    name: str
    roles: frozenset[str]


NOBODY = Caller("", frozenset())


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Whom the guard let through; `NOBODY` where everything is open to this machine."""
    found = scope.get(SCOPE, NOBODY)
    assert isinstance(found, Caller)
    return found
