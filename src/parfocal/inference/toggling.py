"""Post-processing measured: every operation on and off, everything else as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from parfocal.core.bundle import Bundle
from parfocal.evaluation.metrics import Mask, dice
from parfocal.evaluation.segmentation import WHOLE, OnOff
from parfocal.inference.postprocess import FAMILY, Chain, PostConfig, redraw_one
from parfocal.inference.predictor import Prediction, tidy
from parfocal.preprocessing.roi import Box


@cache
def measurable() -> tuple[str, ...]:
    """The operations that can run here: `crf` needs a library that not everybody has."""
    return tuple(name for name in FAMILY if name != "crf" or find_spec("skimage") is not None)


def on_and_off(
    prediction: Prediction,
    spec: Bundle,
    post: PostConfig | None,
    frame: Callable[[Box], NDArray[np.uint8]],
    masks: Mapping[str, Mask],
    truth: Mapping[str, Mask],
) -> dict[str, dict[str, OnOff]]:
    """Dice of every structure with a truth, by structure and operation, with the operation and without.

    An operation of the chain is taken out of its place, any other is put at the end. `WHOLE` is the chain against
    none. One structure is redrawn at a time, within the outer mask as the chain draws it.

    Args:
        prediction: of the cascade.
        spec: the bundle that made it.
        post: the chain; None is the task's own.
        frame: as for `redraw`.
        masks: as the chain draws them, bool [H, W].
        truth: bool [H, W].
    """
    found: dict[str, dict[str, OnOff]] = {}
    for name in (name for name in spec.structures if name in truth):
        chain, outer = post or _own(spec.task, name), masks.get(spec.structures[name].inside or "")
        drawn = partial(_dice, prediction, spec, name, chain, frame, outer, truth[name])
        found[name] = _toggled(chain.steps, dice(masks[name], truth[name]), drawn)
    return found


def _dice(
    prediction: Prediction,
    spec: Bundle,
    name: str,
    chain: PostConfig,
    frame: Callable[[Box], NDArray[np.uint8]],
    outer: Mask | None,
    true: Mask,
    steps: tuple[str, ...],
) -> float:
    """Of a structure redrawn by other steps of the chain's settings."""
    other = _chain(chain.model_copy(update={"steps": steps}).canonical_json())
    return dice(redraw_one(prediction, name, spec.structures[name], other, frame, outer), true)


def _toggled(steps: tuple[str, ...], chosen: float, drawn: Callable[[tuple[str, ...]], float]) -> dict[str, OnOff]:
    found = {WHOLE: OnOff(chosen, drawn(()), part=True)}
    for operation in measurable():
        if operation in steps:
            rest = tuple(step for step in steps if step != operation)
            found[operation] = OnOff(chosen, drawn(rest), part=True)
        else:
            found[operation] = OnOff(drawn((*steps, operation)), chosen, part=False)
    return found


@lru_cache(maxsize=64)
def _chain(config: str) -> Chain:
    """Made once: looking for the operations takes longer than running them."""
    return Chain(PostConfig.from_json(config))


@lru_cache(maxsize=64)
def _own(task: str, structure: str) -> PostConfig:
    return tidy(task, structure).config
