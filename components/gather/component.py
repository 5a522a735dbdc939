"""The component `gather`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gather(
    shards: dsl.Input[list[dsl.Dataset]],
    config: str,
    dataset: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    champion: dsl.Input[dsl.Model] = None,
):
    """Freeze the split by patient over all parts of an experience and write its dataset, the one of `preprocess`.

    Args:
        shards: Folders of `preprocess_shard`, all of one experience.
        config: Canonical JSON of the run's configuration, as the parts were made with.
        champion: Bundle whose known patients keep their side of the split, as the parts were made with.
        dataset: Sealed folder: images, masks, split, and arrays ready for training.
        summary: Cases and patients by side, and what was left out.
    """
    from parfocal.adapters import kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import gather as step
    from parfocal.steps.config import RunConfig

    settings, known = RunConfig.from_json(config), kubeflow.folder(champion) if champion else None
    with kubeflow.sealed(dataset) as (out,):
        parts = [kubeflow.folder(shard) for shard in shards]
        step.run(parts, out, settings, champion=known, reporter=JsonLines())
    kubeflow.show_dataset(out, summary)
