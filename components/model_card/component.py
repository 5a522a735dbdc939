"""The component `model_card`."""

from kfp import dsl
from parfocal_components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def model_card(promotion: dsl.Input[dsl.Artifact], config: str, card: dsl.Output[dsl.Markdown]):
    """Show the model card of the version that was just promoted. For the branch in which the gate said yes.

    Args:
        promotion: Sealed folder of `promote`.
        config: Canonical JSON of the run's configuration (task); empty means defaults.
        card: What the model is for, how good it is, where it came from and on whose word it answers.
    """
    from pathlib import Path

    from parfocal.adapters import connect, kubeflow
    from parfocal.steps import model_card as step
    from parfocal.steps.config import RunConfig

    settings, platform = RunConfig.from_json(config), connect()
    text = step.run(kubeflow.folder(promotion), settings, ledger=platform.ledger)
    Path(card.path).write_text(text)
