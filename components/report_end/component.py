"""The component `report_end`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_end(pipeline: str, config: str, idempotency_key: str, status: dsl.PipelineTaskFinalStatus):
    """Write into the ledger how a run ended, also one that failed and one that nobody but Kubeflow knows of.

    Args:
        pipeline: Its name.
        config: Canonical JSON of the run's configuration; one that cannot be read is why the run failed, and no error.
        idempotency_key: Name of the piece of work.
        status: Of the steps before, filled in by Kubeflow.
    """
    from parfocal.adapters import connect
    from parfocal.steps import report_end as step

    platform = connect()
    ended = step.Ended(
        pipeline=pipeline,
        key=idempotency_key,
        state=status.state,
        job=status.pipeline_job_resource_name,
        error=status.error_message or "",
    )
    step.run(ended, config, ledger=platform.ledger, task=platform.settings.task)
