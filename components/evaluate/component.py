"""The component `evaluate`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    challenger: dsl.Input[dsl.Model],
    config: str,
    idempotency_key: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curve: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    champion: dsl.Input[dsl.Model] = None,
):
    """Score the challenger as it will be served, beside its rivals, on every frozen test case of every instrument.

    Args:
        challenger: Bundle to judge; the datasets it answers for are found by the paths in its bundle.json.
        config: Canonical JSON of the run's configuration; empty means defaults.
        idempotency_key: Names the MLflow run.
        champion: Bundle to judge against. Without it the constant mask is the only rival.
        evaluation: Sealed folder with the score of every case.
        metrics: Mean Dice by instrument and structure.
        curve: ROC of glaucoma suspicion where there are ratios to tell it by; else the pixels of every structure.
        report: Plots and overlays of best and worst cases, in one file.
        summary: The same in a few lines.
    """
    from pathlib import Path

    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import evaluate as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    with platform.tracker.run("evaluate", key=idempotency_key) as run, kubeflow.sealed(evaluation) as (out,):
        step.run(
            kubeflow.folder(challenger),
            out,
            settings,
            champion=kubeflow.folder(champion) if champion else None,
            ledger=platform.ledger,
            run=run,
            reporter=JsonLines(),
        )
    kubeflow.show_evaluation(Path(evaluation.path), metrics, curve, report, summary)
