"""The component `pretrain`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain(
    dataset: dsl.Input[dsl.Dataset],
    config: str,
    idempotency_key: str,
    pretrained: dsl.Output[dsl.Model],
):
    """Pretrain a network on images alone, or on centre points. A pod that was lost goes on from its checkpoint.

    Args:
        dataset: Sealed folder of `preprocess`.
        config: Canonical JSON of the run's configuration; empty means defaults.
        idempotency_key: Names the checkpoints and the MLflow run.
        pretrained: Sealed folder with weights, for `train` to start from.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import pretrain as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    key = f"{idempotency_key}-pretrain"
    with platform.tracker.run("pretrain", key=key) as run, kubeflow.sealed(pretrained) as (out,):
        step.run(
            [kubeflow.folder(dataset)],
            out,
            settings,
            state=platform.settings.state,
            key=key,
            run=run,
            reporter=JsonLines(),
        )
