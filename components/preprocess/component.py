"""The component `preprocess`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preprocess(
    experience: dsl.Input[dsl.Dataset],
    config: str,
    dataset: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    champion: dsl.Input[dsl.Model] = None,
):
    """Validate an experience, freeze its split by patient and write a dataset.

    Args:
        experience: Images and masks of one instrument, in a layout that a reader knows (config: data.reader).
        config: Canonical JSON of the run's configuration; empty means defaults.
        champion: Bundle whose known patients keep their side of the split. Without it the quota of a first run holds.
        dataset: Sealed folder: images, masks, split, and arrays ready for training.
        summary: Cases and patients by side, and what was left out.
    """
    from parfocal.adapters import kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import preprocess as step
    from parfocal.steps.config import RunConfig

    known = kubeflow.folder(champion) if champion else None
    with kubeflow.sealed(dataset) as (out,):
        step.run(kubeflow.folder(experience), out, RunConfig.from_json(config), champion=known, reporter=JsonLines())
    kubeflow.show_dataset(out, summary)
