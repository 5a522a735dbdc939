"""The component `retrain`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def retrain(
    dataset: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Model],
    config: str,
    idempotency_key: str,
    challenger: dsl.Output[dsl.Model],
    memory: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Teach the champion a dataset without losing what it knew. A pod that was lost goes on from its checkpoint.

    Args:
        dataset: Sealed folder of `preprocess`, of the instrument to learn.
        champion: Bundle to start from; its exemplar memory is found by the path in its bundle.json.
        config: Canonical JSON of the run's configuration (strategy: retrain.strategy); empty means defaults.
        idempotency_key: Names the checkpoints and the MLflow run.
        challenger: Sealed model bundle, exported for serving.
        memory: Sealed exemplar memory of all instruments. Patients' images: never registered, never served.
        metrics: Best validation score by structure and instrument; steps and seconds.
        summary: The same, the strategy, and what the memory holds.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import retrain as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    with (
        platform.tracker.run("retrain", key=idempotency_key) as run,
        platform.checkpoints(idempotency_key) as store,
        kubeflow.sealed(challenger, memory) as (out, kept),
    ):
        step.run(
            kubeflow.folder(dataset),
            kubeflow.folder(champion),
            out,
            kept,
            settings,
            state=platform.settings.state,
            key=idempotency_key,
            run=run,
            reporter=JsonLines(),
            executor=platform.executor,
            store=store,
        )
    kubeflow.show_training(out, platform.settings.state, metrics, summary)
