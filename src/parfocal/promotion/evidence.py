"""What is kept of a promotion: one JSON document that a person, or an auditor in ten years, can follow.

It is what a predetermined change control plan asks for: on which data, split how, from which parent, by which code
and seed, on whose word, and where the way back leads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import parfocal
from parfocal import __version__
from parfocal.core import manifest
from parfocal.core.bundle import Bundle, DatasetRef
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import LedgerEntry
from parfocal.core.scores import Evaluation
from parfocal.core.types import Check, Decision, Interval, Outcome, Split
from parfocal.promotion.ledger import DECISION
from parfocal.promotion.policy import GatePolicy
from parfocal.promotion.table import rows


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word for what the gate could not say.

    Raises:
        UsageError: the name or the reason is empty.
    """

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise UsageError("an approval needs a name and a reason", next="say who approves and why; both are kept")


@dataclass(frozen=True, slots=True)
class Origin:
    """What only the platform knows of a promotion.

    Attributes:
        alarm: that caused the retrain: task, instrument, reference, champion, time, decided (unix seconds), labelled,
            streams (stream, statistic, threshold, alarm_at, alarm_time); None when no alarm did.
        image: in which the code ran, best by digest; empty when the environment does not say.
    """

    alarm: Mapping[str, Any] | None = None
    image: str = ""


UNKNOWN = Origin()
"""Nobody said."""


def decision_body(
    decision: Decision, evaluation: Evaluation, evaluation_checksum: str, policy: GatePolicy, key: str
) -> dict[str, Any]:
    """A decision as the ledger keeps it: complete, with what it was made on."""
    return {
        "key": key,
        "evaluation": evaluation_checksum,
        "challenger": evaluation.challenger,
        "champion": evaluation.champion or "",
        "new_instrument": evaluation.new_instrument,
        "tests": {instrument: test.checksum for instrument, test in evaluation.tests.items()},
        "policy": policy.model_dump(mode="json"),
        "code_version": __version__,
        **decision_values(decision),
    }


def uses(entries: Iterable[LedgerEntry], instrument: str, test_checksum: str) -> int:
    """How many evaluations on exactly these frozen test cases have been decided on: a test set wears with use."""
    return len(
        {
            entry.body["evaluation"]
            for entry in entries
            if entry.kind == DECISION and entry.body["tests"].get(instrument) == test_checksum
        }
    )


def decision_values(decision: Decision) -> dict[str, Any]:
    """A decision as JSON values, the contents of decision.json."""
    return asdict(decision)


def read_decision(values: Mapping[str, Any]) -> Decision:
    """The decision that `decision_values` (or a ledger's body) holds."""
    checks = tuple(
        Check(
            **{
                **check,
                "outcome": Outcome(check["outcome"]),
                "interval": Interval(**check["interval"]) if check["interval"] else None,
            }
        )
        for check in values["checks"]
    )
    return Decision(
        Outcome(values["outcome"]), checks, values["reason"], values["approved_by"], values["approval_reason"]
    )


def build(
    *,
    model: Bundle,
    sealed: Manifest,
    evaluation: Evaluation,
    decided: LedgerEntry,
    version: str,
    rollback: Mapping[str, str] | None,
    origin: Origin = UNKNOWN,
) -> dict[str, Any]:
    """Gather the evidence for one decision.

    Args:
        model, sealed: the challenger's bundle and its manifest.
        decided: the ledger's entry of the decision.
        version: of the challenger in the registry.
        rollback: version and checksum of the champion that it would replace; None for a first model.
        origin: the alarm behind it and the image it ran in.

    Raises:
        DataContractError: a dataset is in its place but is not what the model learned from.
    """
    decision = read_decision(decided.body)
    return {
        "schema_version": 1,
        "task": evaluation.task,
        "key": decided.body["key"],
        "decided": {"time": decided.time, "seq": decided.seq, "hash": decided.hash},
        "model": {
            "version": version,
            "checksum": sealed.checksum,
            "created": sealed.created,
            "strategy": model.strategy,
            "key": model.key,
            "parent": model.parent.model_dump() if model.parent else None,
            "instruments": list(model.instruments),
            "unserved": model.unserved,
            "clicked": [name for name, one in model.structures.items() if one.clicks is not None],
            "pretrained": {
                name: one.pretrained.model_dump()
                for name, one in model.structures.items()
                if one.pretrained is not None
            },
            "code_version": sealed.code_version,
            "seed": sealed.seed,
            "config": dict(sealed.config),
        },
        "data": [_data(reference) for reference in model.datasets],
        "tests": {instrument: test.model_dump() for instrument, test in evaluation.tests.items()},
        "memory": _memory(model.memory_uri),
        "evaluation": {
            "checksum": decided.body["evaluation"],
            "runtime": evaluation.runtime,
            "latency_ms": evaluation.latency_ms,
            "agreement": evaluation.agreement,
        },
        "matrix": [row.model_dump() for row in evaluation.matrix],
        "cells": rows(evaluation, GatePolicy.model_validate(decided.body["policy"])),
        "policy": decided.body["policy"],
        "decision": decision_values(decision),
        "approval": {"by": decision.approved_by, "reason": decision.approval_reason} if decision.approved_by else None,
        "rollback": dict(rollback) if rollback else None,
        "alarm": dict(origin.alarm) if origin.alarm else None,
        "code_version": decided.body["code_version"],
        "code": {"version": __version__, "digest": code_digest()},
        "image": origin.image or None,
    }


@cache
def code_digest() -> str:
    """SHA-256, in hex, over every source file of the package that is running, by name and content."""
    root = Path(parfocal.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()} {manifest.sha256(file)}\n".encode())
    return digest.hexdigest()


def text(evidence: Mapping[str, Any]) -> str:
    """The document as it is written: sorted, indented, ending in a newline."""
    return json.dumps(evidence, indent=1, sort_keys=True) + "\n"


def checksum(evidence: Mapping[str, Any]) -> str:
    """SHA-256 of the written document, in hex."""
    return hashlib.sha256(text(evidence).encode()).hexdigest()


def _data(reference: DatasetRef) -> dict[str, Any]:
    """A dataset's hashes and its patients by split; the counts are None where its folder cannot be reached."""
    found: dict[str, Any] = {**reference.model_dump(), "test_checksum": None, "patients": None}
    folder = Path(reference.uri)
    if not folder.is_dir():
        return found
    from parfocal.preprocessing.shards import read_dataset  # brings OpenCV, which nothing else here needs

    if manifest.read(folder, "dataset").checksum != reference.checksum:
        raise DataContractError(
            "this dataset is not the one the model learned from",
            where=folder,
            expected=f"checksum {reference.checksum[:16]}…",
            next="put the sealed dataset back in its place",
        )
    dataset = read_dataset(folder)
    counts = {str(split): len({case.patient for case in dataset.on(split)}) for split in Split}
    return {**found, "test_checksum": dataset.test_checksum, "patients": counts}


def _memory(uri: str) -> dict[str, Any] | None:
    """The exemplar memory by checksum; never its images, which are patients'."""
    if not uri:
        return None
    folder = Path(uri)
    if not folder.is_dir():
        return {"uri": uri, "checksum": None, "files": None}
    sealed = manifest.read(folder, "memory")
    return {"uri": uri, "checksum": sealed.checksum, "files": dict(sealed.files)}
