"""The component `plan_fleet`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan_fleet(experiences: dict, config: str, idempotency_key: str) -> list:
    """Say what each instrument is to be taught, in the order of their names.

    Args:
        experiences: Instrument to the address of its labelled images.
        config: Canonical JSON of the run's configuration; empty means defaults. Its data.instrument is replaced.
        idempotency_key: Name of the whole; each instrument's own is made of it.

    Returns:
        A piece of work each: config, experience_uri, key.
    """
    from parfocal.steps import plan_fleet as step
    from parfocal.steps.config import RunConfig

    return step.run(experiences, RunConfig.from_json(config), key=idempotency_key)
