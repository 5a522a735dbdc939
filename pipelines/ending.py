"""How a pipeline ends: whatever happens in its steps, one more step writes into the ledger how it went."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from kfp import dsl
from parfocal_components.report_end.component import report_end
from parfocal_pipelines.placement import Placements, place


def reported(placements: Placements, *, name: str, display_name: str, description: str) -> Callable[..., Any]:
    """Like `dsl.pipeline`, of a function that takes `config` and `idempotency_key`, with a last step `report_end`.

    The function's steps become a pipeline of their own inside this one. That is what `dsl.ExitHandler` compiles to,
    with one difference: outputs of steps inside an exit handler cannot be outputs of the pipeline.
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
            outputs = signature(steps).return_annotation
            return outputs(**{field: done.outputs[field] for field in outputs._fields})

        return dsl.pipeline(name=name, display_name=display_name, description=description)(whole)

    return decorate
