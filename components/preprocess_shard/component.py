"""The component `preprocess_shard`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preprocess_shard(
    experience: dsl.Input[dsl.Dataset],
    shard: str,
    config: str,
    found: dsl.Output[dsl.Dataset],
    champion: dsl.Input[dsl.Model] = None,
):
    """Validate the patients of one part of an experience and cut their frames; `gather` makes the dataset.

    Args:
        experience: All images and masks of one instrument, in a layout that a reader knows (config: data.reader).
        shard: One text of `plan_shards`, such as 2/8.
        config: Canonical JSON of the run's configuration; empty means defaults.
        champion: Bundle whose known patients keep their side of the split, the same for all parts.
        found: Sealed folder of this part: images, masks, frames, and what is wrong with which file.
    """
    from parfocal.adapters import kubeflow
    from parfocal.core.reporting import JsonLines
    from parfocal.steps import preprocess_shard as step
    from parfocal.steps.config import RunConfig

    settings, known = RunConfig.from_json(config), kubeflow.folder(champion) if champion else None
    with kubeflow.sealed(found) as (out,):
        source = kubeflow.folder(experience)
        step.run(source, out, settings, shard=shard, champion=known, reporter=JsonLines())
