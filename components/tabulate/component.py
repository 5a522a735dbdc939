"""The component `tabulate`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tabulate(
    cells: dsl.Input[list[dsl.Artifact]],
    config: str,
    idempotency_key: str,
    study: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
):
    """Gather the cells of a study into its tables, the paper's figures and the constant mask beside ours.

    Args:
        cells: Sealed folders of `study_cell`.
        config: Canonical JSON of the study's configuration; empty means defaults.
        idempotency_key: Names the MLflow run.
        study: Sealed folder with the tables as CSV, the plots, the report and the score of every case.
        report: Tables and plots in one file.
        summary: The tables as text.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.studies import tabulate as step
    from parfocal.studies.running import StudyConfig

    settings, platform = StudyConfig.from_json(config), connect()
    with platform.tracker.run("study", key=idempotency_key) as run, kubeflow.sealed(study) as (out,):
        gathered = [kubeflow.folder(cell) for cell in cells]
        step.run(
            gathered,
            out,
            settings,
            state=platform.settings.state,
            run=run,
            reporter=JsonLines(),
            shown={"report.html": report.path, "summary.md": summary.path},
        )
