"""The component `champion`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(config: str, idempotency_key: str, bundle: dsl.Output[dsl.Model]):
    """Fetch the champion from the registry, by its alias, at the moment when the task runs.

    Args:
        config: Canonical JSON of the run's configuration (task); empty means defaults.
        idempotency_key: The same key gets the same version again, whatever the alias says by then.
        bundle: The champion's bundle.
    """
    from parfocal.adapters import connect, kubeflow
    from parfocal.steps import champion as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    fetched = platform.settings.state / "models"
    with kubeflow.sealed(bundle) as (out,):
        step.run(out, settings, key=idempotency_key, store=platform.models, ledger=platform.ledger, fetched=fetched)
