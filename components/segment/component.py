"""The component `segment`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def segment(
    images: dsl.Input[dsl.Dataset],
    bundle: dsl.Input[dsl.Model],
    config: str,
    idempotency_key: str,
    segmentation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
):
    """Draw the masks of pictures or volumes, with indicators; measure post-processing on and off where there are masks.

    Args:
        images: Folder of pictures or volumes, one in the layout images/ with masks beside it, or a sealed dataset.
        bundle: Model that draws.
        config: Canonical JSON of the run's configuration (segment.*); empty means defaults.
        idempotency_key: Names the MLflow run.
        segmentation: Sealed folder of masks, overlays and tables. Patients' pictures: kept as those are.
        metrics: How many were segmented; mean Dice with post-processing and without.
        report: Outlines, tables and published ranges in one file.
        summary: The same in a few lines.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import segment as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    with platform.tracker.run("segment", key=idempotency_key) as run, kubeflow.sealed(segmentation) as (out,):
        done = step.run(
            kubeflow.folder(bundle),
            [kubeflow.folder(images)],
            out,
            settings,
            reporter=JsonLines(),
            run=run,
            shown={"report.html": report.path, "summary.md": summary.path},
        )
    metrics.metadata.update(done.figures)
