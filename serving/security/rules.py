"""Who may do what: one line a path. The first that fits holds; a path without a line is for `operate` alone.

`/a` is that path, `/a/*` that path and all below it, `*` within a path any one part. A test demands a line for every
route of both services.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One line.

    Attributes:
        methods: ``GET`` (and HEAD), ``WRITE`` (all others), ``*``, or one of the others by name.
        path: as the head of this file says.
        roles: any one of them will do; empty: anybody.
        audited: whether it is written down who did this.
    """

    methods: str
    path: str
    roles: frozenset[str]
    audited: bool = False

    def fits(self, method: str, path: str) -> bool:
        reads = method in READING
        if self.methods not in ("*", "GET" if reads else "WRITE", method):
            return False
        wanted, parts = self.path.split("/"), path.split("/")
        if wanted[-1] == "*" and len(parts) >= len(wanted) - 1:
            wanted.pop()
            parts = parts[: len(wanted)]
        return len(parts) == len(wanted) and all(w in ("*", part) for w, part in zip(wanted, parts, strict=True))


ANYBODY: frozenset[str] = frozenset()
SEGMENT, ANNOTATE, OPERATE = frozenset({"segment"}), frozenset({"annotate"}), frozenset({"operate"})
OBSERVE = frozenset({"observe"})
MEASURE = OBSERVE | OPERATE
SEE = OBSERVE | OPERATE | ANNOTATE
YES = True
"""In the last column: written to the audit log."""

MONITOR = (
    Rule("GET", "/livez", ANYBODY),
    Rule("GET", "/readyz", ANYBODY),
    Rule("GET", "/sign-in/*", ANYBODY),
    Rule("GET", "/favicon.ico", ANYBODY),  # there is none, and a browser that asks is nobody who was refused
    Rule("GET", "/api/session", ANYBODY),
    Rule("POST", "/api/session", ANYBODY, YES),  # the token is in the body
    Rule("DELETE", "/api/session", SEE | SEGMENT, YES),
    Rule("POST", "/webhooks/mlflow", ANYBODY, YES),  # signed: webhook.py
    Rule("POST", "/observations", OBSERVE),  # thousands an hour, in the database one by one
    Rule("POST", "/alerts", OBSERVE),  # once a minute while an alarm stands; counted, and decisions are recorded
    Rule("GET", "/metrics", MEASURE),
    Rule("WRITE", "/cases/*", ANNOTATE, YES),
    Rule("GET", "/annotate/*", ANNOTATE),
    Rule("GET", "/api/annotate/queue", ANNOTATE),
    Rule("GET", "/api/annotate/cases/*", ANNOTATE, YES),  # who has looked at which photograph
    Rule("POST", "/api/annotate/cases/*/refine", ANNOTATE),  # a click changes nothing yet
    Rule("POST", "/api/annotate/*", ANNOTATE, YES),
    Rule("PUT", "/api/annotate/cases/*", ANNOTATE),  # drafts: one every few strokes
    Rule("WRITE", "/detectors/*", OPERATE, YES),
    Rule("WRITE", "/runs/*", OPERATE, YES),
    Rule("WRITE", "/candidates/*", OPERATE, YES),
    Rule("WRITE", "/api/candidates/*", OPERATE, YES),
    Rule("GET", "/candidates/*", SEE),
    Rule("GET", "/api/candidates/*", SEE),
    Rule("GET", "/api/state", SEE),
    Rule("GET", "/api/history", SEE),
    Rule("GET", "/", SEE),
)

SEGMENTER = (
    Rule("GET", "/livez", ANYBODY),
    Rule("GET", "/healthz", ANYBODY),
    Rule("GET", "/readyz", ANYBODY),
    Rule("GET", "/openapi.json", ANYBODY),  # describes the program; nothing of this installation is in it
    Rule("GET", "/docs.json", ANYBODY),
    Rule("GET", "/schema.json", ANYBODY),
    Rule("GET", "/static_content/*", ANYBODY),
    Rule("GET", "/", ANYBODY),  # BentoML's page of the above
    Rule("GET", "/metrics", MEASURE),
    Rule("POST", "/segment/*", SEGMENT),
    Rule("POST", "/refine/*", SEGMENT),
    Rule("GET", "/instruments", SEGMENT),
    Rule("GET", "/models", SEGMENT),
    Rule("*", "/label-studio/*", ANNOTATE),
)

REST = Rule("*", "/*", OPERATE)
"""What holds for a path that nobody thought of."""


def rule(rules: Sequence[Rule], method: str, path: str) -> Rule:
    """The line for a request."""
    return next((line for line in rules if line.fits(method, path)), REST)
