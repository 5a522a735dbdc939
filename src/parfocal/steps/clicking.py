"""Networks that answer clicks, in the loop: judged with clicks put where the truth says, and retrained as such."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation import clicks
from parfocal.core import bundle
from parfocal.core.bundle import Bundle, Clicked
from parfocal.core.errors import DataContractError, UsageError
from parfocal.evaluation.frozen import FrozenCase
from parfocal.evaluation.interaction import TARGETS, noc
from parfocal.evaluation.metrics import Mask, dice
from parfocal.inference.clicked import ClickedCascade
from parfocal.inference.interactive import INTERACT
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.inference.runtimes import network_input
from parfocal.inference.segmenters import answers_clicks
from parfocal.objectives import ObjectiveConfig
from parfocal.preprocessing.images import Picture
from parfocal.steps.config import RunConfig

STRATEGIES, SELECTIONS = ("finetune", "joint", "replay"), ("random", "reservoir")
"""Members that ask nothing of the network but what its objective asks: the others show it pictures alone."""

Judged: TypeAlias = Predictor | ClickedCascade
"""What is judged: by the picture alone, or clicked."""


def opened(folder: Path, runtime: str) -> Judged:
    """A bundle to judge, by what its networks were trained for."""
    if answers_clicks(bundle.read(folder)):
        return ClickedCascade(folder, runtime)
    return Predictor(folder, runtime)


def refuse_unlike(models: Mapping[str, Bundle]) -> None:
    """Refuse a clicked model beside one that sees pictures alone: the click comes from the truth.

    Raises:
        DataContractError: they differ.
    """
    clicked = [name for name, model in models.items() if answers_clicks(model)]
    if clicked and len(clicked) < len(models):
        others = [name for name in models if name not in clicked]
        raise DataContractError(
            f"the {clicked[0]} answers clicks and the {others[0]} does not",
            expected="two of one kind: a click is put where the truth says, and would decide",
            next="judge it without a champion, or against one that answers clicks",
        )


def answer(model: Judged, case: FrozenCase, image: Picture, truth: Mapping[str, Mask] | None = None) -> Prediction:
    """What a model says of a case; a clicked one gets one click a structure, from `truth` or the case's own."""
    if isinstance(model, ClickedCascade):
        return model.predict(image, case.read_masks() if truth is None else truth)
    return model.predict(image, case.instrument)


def efforts(
    model: Judged, image: Picture, truth: Mapping[str, Mask], prediction: Prediction, clicks_max: int
) -> dict[str, dict[str, float]]:
    """By structure with a truth: ``noc85`` and ``noc90``, clicks until Dice is .85 and .90, and whether it ever was.

    A case that never gets there counts as `clicks_max` (``clicks_allowed``). ``wrong`` is the Dice of the truth made
    wrong (`augmentation.clicks.wrong`, for each case the same every time), as a proposal on an instrument that nobody
    has learned is, and ``corrected`` that after one click in its largest error. Nothing for a model that nobody clicks.
    """
    if not isinstance(model, ClickedCascade):
        return {}
    found: dict[str, dict[str, float]] = {}
    for name in (name for name in prediction.masks if name in truth):
        outer = prediction.masks.get(model.bundle.structures[name].inside or "")
        rounds = model.rounds(name, image, truth[name], outer, clicks_max)
        found[name] = {"clicks_allowed": float(clicks_max)}
        for target in TARGETS:
            count = noc(rounds, target)
            found[name][f"noc{target * 100:.0f}"] = float(clicks_max if count is None else count)
            found[name][f"noc{target * 100:.0f}_reached"] = float(count is not None)
        if truth[name].any():
            begun = clicks.wrong(truth[name], np.random.default_rng(int(truth[name].sum())))
            mended = model.rounds(name, image, truth[name], outer, 1, begun)
            found[name] |= {"wrong": dice(begun, truth[name]), "corrected": mended.after(1)}
    return found


def refuse_selection(config: RunConfig) -> None:
    """A selection that shows the network pictures alone is of no use where it answers clicks.

    Raises:
        UsageError: it is such a one.
    """
    if config.retrain.selection not in SELECTIONS:
        raise UsageError(
            f"{config.retrain.selection} shows the network pictures alone, and it answers clicks",
            where="retrain.selection",
            expected=f"one of {', '.join(SELECTIONS)}",
        )


def as_trained(before: Bundle, config: RunConfig) -> RunConfig:
    """The settings of a retrain with the champion's objective, where that answers clicks: they are asked as before.

    How many clicks, and how often the truth is turned to background, is `retrain.train.objective`'s where it names
    interact.

    Raises:
        UsageError: clicks for networks that look at images alone, or a strategy or selection that shows the network
            pictures without clicks.
    """
    wanted = config.retrain.train.objective
    if not answers_clicks(before):
        if wanted.name == INTERACT:
            raise UsageError(
                "a network that looks at images alone cannot be taught to answer clicks",
                where="retrain.train.objective",
                next="train one anew: parfocal train DATASET... --set train.objective.name=interact",
            )
        return config
    refuse_selection(config)
    if config.retrain.strategy.name not in STRATEGIES:
        raise UsageError(
            f"{config.retrain.strategy.name} shows the network pictures alone, and it answers clicks",
            where="retrain.strategy.name",
            expected=f"one of {', '.join(STRATEGIES)}",
        )
    asked = next(iter(before.structures.values())).clicks or Clicked()
    said = {**wanted.model_dump(), "name": INTERACT} if wanted.name == INTERACT else {"name": INTERACT}
    objective = ObjectiveConfig.parse({**said, "sigma": asked.sigma, "previous": asked.previous})
    train = config.retrain.train.model_copy(update={"objective": objective})
    return config.model_copy(update={"retrain": config.retrain.model_copy(update={"train": train})})


def once(images: NDArray[np.uint8], masks: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """Input of a network that answers clicks, float32 [N, 6, S, S]: one click on each picture, nothing answered yet.

    Args:
        images: uint8 BGR [N, S, S, 3].
        masks: uint8 [N, S, S]; what is not 1 is not the object.
        sigma: of a click, pixels of the frame.
    """
    height, width = masks.shape[1:]
    maps = [clicks.encode([clicks.first(mask == 1)], height, width, sigma) for mask in masks]
    return np.concatenate([network_input(images), np.stack(maps), np.zeros_like(np.stack(maps)[:, :1])], axis=1)
