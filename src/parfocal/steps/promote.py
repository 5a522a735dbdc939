"""Let the gate decide; register the challenger; on yes make it the champion. The way back is `rolling_back`.

Killed at any moment, the same command (the same key) finishes what it began, once: what was decided and what was
started is read back from the ledger, a bundle is registered by its checksum, the output folder comes last.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parfocal.core import bundle, manifest, scores
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Ledger, LedgerEntry, ModelStore, ModelVersion, Reporter, Run
from parfocal.core.scores import Evaluation
from parfocal.core.types import Decision, Outcome
from parfocal.promotion import best, gate, serving
from parfocal.promotion import champion as moves
from parfocal.promotion import evidence as papers
from parfocal.promotion.champion import CHALLENGER, complete, reconcile, standing
from parfocal.promotion.evidence import Approval, Origin
from parfocal.promotion.ledger import DECISION, PROMOTION_STARTED
from parfocal.steps import promoted
from parfocal.steps.rolling_back import history, rollback

if TYPE_CHECKING:
    from parfocal.steps.config import RunConfig

__all__ = ["history", "reconcile", "rollback", "run"]


def run(
    evaluation: Path,
    challenger: Path,
    out: Path,
    config: RunConfig,
    *,
    key: str,
    store: ModelStore,
    ledger: Ledger,
    run: Run,
    reporter: Reporter,
    approval: Approval | None = None,
    origin: Origin = papers.UNKNOWN,
) -> Decision:
    """Decide on an evaluation and carry the decision out.

    A refusal and an inconclusive answer are returned like any other decision. An inconclusive one is carried out when
    a person approves it; a refusal never is.

    Args:
        evaluation: sealed folder of `steps.evaluate`.
        challenger: the sealed bundle that was evaluated.
        out: gets decision.json, evidence.json, summary.md and, after a promotion, model_card.md; kind ``promotion``.
        key: idempotency key; one key promotes one bundle once.
        origin: the alarm that caused the work and the image it runs in, for the evidence.

    Returns:
        The decision. `out` from an earlier identical run is believed and its decision returned.

    Raises:
        DataContractError: a folder is not whole, or the evaluation is of another bundle.
        UsageError: `out` holds another decision, the key has promoted another bundle, or the segmenter could not
            answer with it (`promotion.serving`).
        OutsideServiceError: the registry or the ledger cannot be reached; the same command goes on later.
    """
    judged, model = scores.read(evaluation), bundle.read(challenger)
    parents = [manifest.read(folder).parent(folder) for folder in (evaluation, challenger)]
    _belongs(judged, model, parents[1].checksum)
    settled = {
        "key": key,
        "approved_by": approval.by if approval else "",
        "approval_reason": approval.reason if approval else "",
    }
    if not _finished(out, parents, settled):
        serving.refuse_unserved(model, challenger, ledger.entries(judged.task), config.gate)
        if (done := reconcile(ledger, store, judged.task)) is not None:
            reporter.note(f"ledger brought up to date: {done.kind} to version {done.body['version'] or 'none'}")
        decided = _decide(judged, parents[0].checksum, config.gate, key, ledger, approval)
        reporter.note(f"gate: {decided.body['outcome']}")
        tags = {"parfocal.key": key, "parfocal.run": run.id, **_origins(model)}
        if model.unserved:
            tags["parfocal.unserved"] = model.unserved
            reporter.note(f"not served by the segmenter: {model.unserved}")
        version = _register(store, challenger, judged.task, tags)
        file = _evidence(judged, model, manifest.read(challenger), decided, version, ledger, origin)
        if decided.body["outcome"] == Outcome.PROMOTE:
            file = _promote(file, judged, decided, version, store, ledger, run.id)
        promoted.write(out, file, parents, settled)
    decision = papers.read_decision(json.loads((out / "decision.json").read_text()))
    promoted.log(run, out, decision, ledger, judged.task, key)
    reporter.note(f"{decision.outcome}: {decision.reason}")
    return decision


def _belongs(judged: Evaluation, model: Bundle, checksum: str) -> None:
    if judged.challenger != checksum or judged.task != model.task:
        raise DataContractError(
            "this evaluation is of another bundle",
            expected=f"bundle {judged.challenger[:16]}…, task {judged.task}",
            where=f"bundle {checksum[:16]}…, task {model.task}",
            next="name the bundle that was evaluated",
        )
    if not judged.matrix or judged.matrix[-1].model != checksum:
        raise DataContractError("the last row of the matrix R is not the challenger's", next="evaluate again")


def _finished(out: Path, parents: list[manifest.Parent], settled: dict[str, str]) -> bool:
    """Whether an identical earlier run has written `out`; another decision there is an error before anything moves."""
    if not (out / manifest.MANIFEST).is_file():
        return False
    sealed = manifest.verify(out, "promotion")
    same = [p.checksum for p in sealed.parents] == [p.checksum for p in parents] and dict(sealed.config) == settled
    if not same:
        raise UsageError("another decision is already there", where=out, next="name another folder for this one")
    return True


def _decide(
    judged: Evaluation, checksum: str, policy: gate.GatePolicy, key: str, ledger: Ledger, approval: Approval | None
) -> LedgerEntry:
    """The ledger's entry of this decision: the one made earlier, else a new one."""
    named = f"{key}@{checksum[:16]}"
    if approval is not None:
        word = json.dumps([approval.by, approval.reason]).encode()
        named += f"+{hashlib.sha256(word).hexdigest()[:8]}"
    entries = ledger.entries(judged.task)
    for entry in entries:
        if (entry.kind, entry.key) == (DECISION, named):
            return entry
    present = standing(entries).checksum
    if judged.champion != present:
        decision = gate.refuse_moved(judged, present)
    else:
        decision = gate.decide(judged, policy, best=best.best_promoted(entries, judged))
        if approval is not None:
            decision = gate.take_over(decision, approval.by, approval.reason)
    body = papers.decision_body(decision, judged, checksum, policy, key)
    return ledger.append(DECISION, judged.task, named, body)


def _origins(model: Bundle) -> dict[str, str]:
    """Which pretrained network each structure's training started from, for the registry."""
    return {
        f"parfocal.pretrained.{name}": f"{one.pretrained.objective} {one.pretrained.checksum}"
        for name, one in model.structures.items()
        if one.pretrained is not None
    }


def _register(store: ModelStore, challenger: Path, task: str, tags: dict[str, str]) -> ModelVersion:
    version = store.register(challenger, task, tags=tags)
    if CHALLENGER not in version.aliases:
        store.set_alias(task, CHALLENGER, version.version)
    return version


def _evidence(
    judged: Evaluation,
    model: Bundle,
    sealed: Manifest,
    decided: LedgerEntry,
    version: ModelVersion,
    ledger: Ledger,
    origin: Origin,
) -> dict[str, Any]:
    state = standing(ledger.entries(judged.task))
    return papers.build(
        model=model,
        sealed=sealed,
        evaluation=judged,
        decided=decided,
        version=version.version,
        rollback=moves.named(state) if state.version else None,
        origin=origin,
    )


def _promote(
    file: dict[str, Any],
    judged: Evaluation,
    decided: LedgerEntry,
    version: ModelVersion,
    store: ModelStore,
    ledger: Ledger,
    run: str,
) -> dict[str, Any]:
    """Start the move, move the alias, record it; return the evidence as the ledger has it."""
    task, key = judged.task, str(decided.body["key"])
    entries = ledger.entries(task)
    state = standing(entries)
    begun = any((entry.kind, entry.key) == (PROMOTION_STARTED, key) for entry in entries)
    if not begun and state.checksum != judged.champion:
        return _moved(file, judged, decided, ledger)
    body = {
        "version": version.version,
        "checksum": version.checksum,
        "replaces": moves.named(state),
        "rollback": file["rollback"],
        "by": decided.body["approved_by"] or "gate",
        "reason": decided.body["reason"],
        "outcome": decided.body["outcome"],
        "approved_by": decided.body["approved_by"],
        "decision": decided.seq,
        "run": run,
        "matrix_row": judged.matrix[-1].model_dump(mode="json"),
        "scores": best.scores(judged),
        "evidence_checksum": papers.checksum(file),
        "evidence": file,
    }
    started = ledger.append(PROMOTION_STARTED, task, key, body)
    if started.body["checksum"] != version.checksum:
        raise UsageError("this key has already promoted another bundle", where=key, next="give another --key")
    state = standing(ledger.entries(task))
    if (started.kind, started.key) in state.void:
        return _moved(file, judged, decided, ledger)
    if state.pending == started:
        complete(ledger, store, started)
    return dict(started.body["evidence"])


def _moved(file: dict[str, Any], judged: Evaluation, decided: LedgerEntry, ledger: Ledger) -> dict[str, Any]:
    """The champion moved between decision and promotion: the decision is void, and a refusal says so."""
    refusal = gate.refuse_moved(judged, standing(ledger.entries(judged.task)).checksum)
    body = {**decided.body, **papers.decision_values(refusal)}
    ledger.append(DECISION, judged.task, f"{decided.key}:moved", body)
    return {**file, "decision": papers.decision_values(refusal), "approval": None}
