"""The component `plan_shards`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan_shards(shards: int, config: str) -> list[str]:
    """Say in which parts a source is looked at.

    Args:
        shards: How many parts, each a pod's work; 1 to 1000.
        config: Canonical JSON of the run's configuration; empty means defaults. What is wrong with it is said here.

    Returns:
        A text a part, such as 2/8, for `preprocess_shard`.
    """
    from parfocal.steps import plan_shards as step
    from parfocal.steps.config import RunConfig

    return step.run(shards, RunConfig.from_json(config))
