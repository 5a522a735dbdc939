"""The component `promote`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(
    evaluation: dsl.Input[dsl.Artifact],
    challenger: dsl.Input[dsl.Model],
    config: str,
    idempotency_key: str,
    promotion: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Let the gate decide; register the challenger; on yes move the alias `champion` to it.

    A refusal is an answer like any other, and the task succeeds.

    Args:
        evaluation: Sealed folder of `evaluate`.
        challenger: The bundle that was evaluated.
        config: Canonical JSON of the run's configuration (the gate: gate.*); empty means defaults.
        idempotency_key: One key promotes one bundle once, however often the task is tried.
        promotion: Sealed folder with the decision and its evidence.
        metrics: What was measured in every check of the gate.
        summary: The decision and its reasons.

    Returns:
        promote, refuse or inconclusive.
    """
    from pathlib import Path

    from parfocal.adapters import connect, kubeflow, monitored
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import promote as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    with platform.tracker.run("promote", key=idempotency_key) as run, kubeflow.sealed(promotion) as (out,):
        decision = step.run(
            kubeflow.folder(evaluation),
            kubeflow.folder(challenger),
            out,
            settings,
            key=idempotency_key,
            store=platform.models,
            ledger=platform.ledger,
            run=run,
            reporter=JsonLines(),
            origin=monitored.origin(idempotency_key),
        )
    return kubeflow.show_decision(decision, Path(promotion.path), metrics, summary)
