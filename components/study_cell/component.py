"""The component `study_cell`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def study_cell(cell: str, config: str, scores: dsl.Output[dsl.Artifact]):
    """Train what one cell of a study says and score every test case. A pod that was lost goes on from its checkpoint.

    Args:
        cell: One text of `study_cells`.
        config: Canonical JSON of the study's configuration; empty means defaults.
        scores: Sealed folder with the scores of every case.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.studies import study_cell as step
    from parfocal.studies.running import StudyConfig

    settings, platform = StudyConfig.from_json(config), connect()
    with kubeflow.sealed(scores) as (out,):
        step.run(cell, out, settings, state=platform.settings.state, reporter=JsonLines())
