"""A bundle that answers clicks, judged: one click a structure, where the truth says, as paper 003 evaluates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click, first
from parfocal.core import bundle
from parfocal.core.errors import UsageError
from parfocal.evaluation.interaction import Rounds, simulate
from parfocal.evaluation.metrics import Mask
from parfocal.inference.interactive import INTERACT, InteractivePredictor, holds
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.roi import Box


class ClickedCascade:
    """The cascade of networks that answer clicks, each clicked once on the innermost point of the truth.

    An inner structure is looked for in the box of the outer one's answer to its click, and kept within it. A structure
    without a truth gets no click. Nothing is drawn at random: the same picture and truth give the same masks.

    Attributes:
        bundle: what bundle.json says.
        runtimes: name of the runtime that executes each structure.
    """

    def __init__(self, folder: Path, runtime: str = "auto") -> None:
        """Load a sealed bundle after checking every file of it.

        Raises:
            DataContractError: the bundle is not whole or cannot be loaded.
            UsageError: some of its networks answer no clicks.
        """
        spec = bundle.read(folder)
        silent = [name for name, model in spec.structures.items() if model.objective != INTERACT]
        if silent:
            raise UsageError(
                f"{', '.join(silent)} of this bundle answers no clicks and others do", where=folder,
                next="train all structures with --set train.objective.name=interact, or none",
            )  # fmt: skip
        self.bundle = spec
        self._predictors = {name: InteractivePredictor(folder, name, runtime, verify=False) for name in spec.structures}
        self.runtimes: Mapping[str, str] = {name: one.runtime for name, one in self._predictors.items()}

    def predict(self, image: Picture, truth: Mapping[str, Mask]) -> Prediction:
        """One click a structure.

        Args:
            image: uint8 BGR [H, W, 3] or uint16 grey [H, W].
            truth: bool [H, W] by structure; a structure that nobody labelled may be absent.

        Returns:
            Masks and boxes. It has no probabilities and no features: nothing redraws or watches such answers.
        """
        masks: dict[str, NDArray[np.bool_]] = {}
        boxes: dict[str, Box | None] = {}
        for name, predictor in self._predictors.items():
            outer = masks.get(predictor.structure.inside or "")
            boxes[name] = box = predictor.look(image, outer)
            if box is None:
                masks[name] = np.zeros(image.shape[:2], np.bool_)
                continue
            clicks = _heard([first(truth[name])] if name in truth else [], box)
            masks[name] = predictor.predict(image, clicks, outer=outer).mask
        return Prediction(masks, boxes, {})

    def rounds(
        self,
        name: str,
        image: Picture,
        truth: Mask,
        outer: NDArray[np.bool_] | None,
        clicks_max: int,
        begun: Mask | None = None,
    ) -> Rounds:
        """One structure clicked until it is right or `clicks_max` clicks are spent; each sees the answer before.

        A click where the network does not look (outside the box of the outer structure's answer) is spent and not
        heard. Where there is no outer structure every answer is empty.

        Args:
            name: of the structure.
            image: as for `predict`.
            truth: bool [H, W].
            outer: mask that the structure is inside, as `predict` gives it; None for an outermost one.
            clicks_max, begun: as for `simulate`.
        """
        predictor, box = self._predictors[name], self._predictors[name].look(image, outer)
        before: NDArray[np.generic] | None = begun

        def answered(picture: Picture, clicks: Sequence[Click], _: Mask | None) -> Mask:
            nonlocal before
            if box is None:
                return np.zeros(picture.shape[:2], np.bool_)
            answer = predictor.predict(picture, _heard(clicks, box), before, outer=outer)
            before = answer.probability
            return answer.mask

        return simulate(answered, image, truth, clicks_max, begun)


def _heard(clicks: Sequence[Click], box: Box) -> list[Click]:
    return [click for click in clicks if holds(box, click)]
