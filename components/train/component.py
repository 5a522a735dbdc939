"""The component `train`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    config: str,
    idempotency_key: str,
    bundle: dsl.Output[dsl.Model],
    memory: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    pretrained: dsl.Input[dsl.Model] = None,
):
    """Train and export a first bundle, one network a structure. A pod that was lost goes on from its checkpoint.

    Args:
        dataset: Sealed folder of `preprocess`.
        config: Canonical JSON of the run's configuration; empty means defaults.
        idempotency_key: Names the checkpoints and the MLflow run.
        bundle: Sealed model bundle, exported for serving.
        pretrained: Folder of `pretrain` to start from, as train.encoder says. Without it: from random weights.
        memory: Sealed exemplar memory. Patients' images: never registered, never served.
        metrics: Best validation score by structure and instrument; steps and seconds.
        summary: The same, the strategy, and what the memory holds.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import train as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    with (
        platform.tracker.run("train", key=idempotency_key) as run,
        platform.checkpoints(idempotency_key) as store,
        kubeflow.sealed(bundle, memory) as (out, kept),
    ):
        step.run(
            [kubeflow.folder(dataset)],
            out,
            kept,
            settings,
            state=platform.settings.state,
            key=idempotency_key,
            run=run,
            reporter=JsonLines(),
            executor=platform.executor,
            store=store,
            pretrained=kubeflow.folder(pretrained) if pretrained else None,
        )
    kubeflow.show_training(out, platform.settings.state, metrics, summary)
