"""The component `study_cells`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def study_cells(config: str) -> list[str]:
    """Make a study's data sets ready and list its cells.

    Args:
        config: Canonical JSON of the study's configuration (study, scale, seeds, data); empty means defaults.

    Returns:
        A text a cell, for `study_cell`.
    """
    from parfocal.adapters import connect
    from parfocal.core.reporting import JsonLines
    from parfocal.studies import study_cells as step
    from parfocal.studies.running import StudyConfig

    settings, platform = StudyConfig.from_json(config), connect()
    return step.run(settings, state=platform.settings.state, reporter=JsonLines())
