"""The steps that judge a model and let it answer, as verbs: evaluate and promote."""

from __future__ import annotations

from pathlib import Path

import click

from parfocal.cli import inputs
from parfocal.cli.console import Options, common
from parfocal.cli.inputs import FOLDER, KEY, OUT
from parfocal.core.errors import GateRefusedError, UsageError
from parfocal.core.types import Outcome


@click.command()
@click.argument("challenger", type=FOLDER)
@OUT
@click.option("--champion", default="", help="Bundle folder, version or alias to judge against. Default: none.")
@common
def evaluate(
    challenger: Path,
    out: Path,
    champion: str,
    options: Options,
) -> None:
    """Score CHALLENGER as it will be served, beside the champion and the constant mask, on every frozen test case."""
    from parfocal.core import scores
    from parfocal.steps import evaluate as step

    config = options.config()
    with options.reporter() as report:
        rival = inputs.champion(champion, config.task) if champion else None
        with inputs.tracked("evaluate", inputs.key("evaluate", config, (challenger,))) as (platform, run):
            step.run(challenger, out, config, champion=rival, ledger=platform.ledger, run=run, reporter=report)
    text = f"report: {out / 'report.html'}\n\n{(out / 'summary.md').read_text()}"
    options.result(scores.read(out).model_dump(mode="json"), text)


@click.command()
@click.argument("evaluation", type=FOLDER)
@click.option("--challenger", required=True, type=FOLDER, help="The bundle that was evaluated.")
@OUT
@KEY
@click.option("--approve", default="", metavar="NAME", help="Who takes an inconclusive decision upon themselves.")
@click.option("--reason", default="", help="Why; goes to the ledger with the name.")
@common
def promote(
    evaluation: Path,
    challenger: Path,
    out: Path,
    key: str,
    approve: str,
    reason: str,
    options: Options,
) -> None:
    """Let the gate decide on EVALUATION; on yes register the challenger and move the alias `champion`.

    Exit code 4 when the gate refuses or cannot say. What it cannot say a person may take upon themselves with
    --approve NAME --reason TEXT; a refusal cannot be approved. The same command again finishes what was stopped.
    """
    from parfocal.adapters import monitored
    from parfocal.promotion.evidence import Approval
    from parfocal.steps import promote as step

    if approve and not reason:
        raise UsageError("--approve needs --reason", next="say why in a sentence; it goes to the ledger")
    config = options.config()
    key = key or inputs.key("promote", config, (evaluation, challenger))
    approval = Approval(approve, reason) if approve else None
    with options.reporter() as report, inputs.tracked("promote", key) as (platform, run):
        decision = step.run(
            evaluation,
            challenger,
            out,
            config,
            key=key,
            store=platform.models,
            ledger=platform.ledger,
            run=run,
            reporter=report,
            approval=approval,
            origin=monitored.origin(key),
        )
    options.result({"outcome": decision.outcome, "reason": decision.reason}, (out / "summary.md").read_text())
    if decision.outcome is not Outcome.PROMOTE:
        advice = "promote --approve NAME --reason TEXT" if decision.outcome is Outcome.INCONCLUSIVE else "the report"
        raise GateRefusedError(decision.reason, where=out, next=f"see {advice}")
