"""How a pipeline ends: whatever happens in its steps, one more step writes into the ledger how it went.

And where the gate has promoted, another shows the model card.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from kfp import dsl
from parfocal_components.model_card.component import model_card
from parfocal_components.report_end.component import report_end
from parfocal_pipelines.placement import Placements, place


def reported(
    placements: Placements, *, name: str, display_name: str, description: str, card: bool = False
) -> Callable[..., Any]:
    """Like `dsl.pipeline`, of a function that takes `config` and `idempotency_key`, with a last step `report_end`.

    The function's steps become a pipeline of their own inside this one. That is what `dsl.ExitHandler` compiles to,
    with one difference: outputs of steps inside an exit handler cannot be outputs of the pipeline.

    With `card`, of a function with the outputs `outcome` and `promotion`, a branch that is taken when the gate has
    promoted shows the model card. It lies beside the steps and not among them: Kubeflow does not bring the state of a
    pipeline up to date that has a branch inside (kubeflow/pipelines#11979), and `report_end` would hear that the
    steps are still running, and write down a failure.
    """

    def decorate(steps: Callable[..., Any]) -> Any:
        inside = dsl.pipeline(name=f"{name}-steps")(steps)

        @wraps(steps)
        def whole(*given: Any) -> Any:
            arguments = dict(zip(signature(steps).parameters, given, strict=True))
            done = inside(**arguments).set_display_name("Steps").set_caching_options(enable_caching=False)
            told = report_end(pipeline=name, config=arguments["config"], idempotency_key=arguments["idempotency_key"])
            place(told.after(done).ignore_upstream_failure(), placements.promote, placements.platform)
            told.set_display_name("Report the end")
            if card:
                with dsl.If(done.outputs["outcome"] == "promote", name="Promoted"):
                    shown = model_card(promotion=done.outputs["promotion"], config=arguments["config"])
                    place(shown, placements.promote, placements.platform).set_display_name("Model card")
            outputs = signature(steps).return_annotation
            return outputs(**{field: done.outputs[field] for field in outputs._fields})

        return dsl.pipeline(name=name, display_name=display_name, description=description)(whole)

    return decorate
