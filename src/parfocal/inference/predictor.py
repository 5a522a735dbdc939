"""The cascade: each structure in the box of the one it lies inside, back in the pixels of the photograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import Structure
from parfocal.inference import runtimes
from parfocal.inference.agreement import to_input
from parfocal.inference.postprocess import fill_holes, largest_component
from parfocal.inference.runtimes import Runtime
from parfocal.preprocessing.fundus import FundusRecipe, frame_box, to_frame
from parfocal.preprocessing.roi import Box, mask_from_frame


@dataclass(frozen=True)
class Prediction:
    """What the cascade found in one photograph.

    Attributes:
        masks: bool [H, W] by structure, in source pixels; one piece without holes, and inside its outer structure.
        boxes: where each structure was looked for; None when the structure it lies inside was not found.
    """

    masks: dict[str, NDArray[np.bool_]]
    boxes: dict[str, Box | None]


class Predictor:
    """Answers with a bundle's exported networks and exactly the preprocessing that the bundle names.

    Args:
        folder: a sealed bundle; every file is verified.
        runtime: ``auto`` (the first of `runtimes.PREFERRED` that every structure has), or a member of the family.

    Raises:
        DataContractError: the bundle is not whole; the message names the file.
        UsageError: the bundle was not exported for `runtime`.
    """

    def __init__(self, folder: Path, runtime: str = "auto") -> None:
        self.bundle = bundle.read(folder)
        self.recipe = FundusRecipe.model_validate(self.bundle.recipe)
        self.runtime = _choose(self.bundle, runtime)
        load = runtimes.FAMILY.load(self.runtime)
        self._networks: dict[str, Runtime] = {
            name: load(Path(folder) / structure.folder) for name, structure in self.bundle.structures.items()
        }

    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """Masks of all structures in one photograph, BGR uint8 [H, W, 3]."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataContractError(f"not a picture: {image.dtype} {image.shape}", expected="BGR uint8 [H, W, 3]")
        masks: dict[str, NDArray[np.bool_]] = {}
        boxes: dict[str, Box | None] = {}
        height, width = image.shape[:2]
        for name, structure in self.bundle.structures.items():
            outer = masks[structure.inside] if structure.inside else None
            box = frame_box(Structure(name, structure.inside), height, width, self.recipe, outer)
            boxes[name] = box
            if box is None:
                masks[name] = np.zeros((height, width), np.bool_)
                continue
            probability = self._networks[name](to_input(to_frame(image, box, self.recipe)[None]))[0, 0]
            mask = mask_from_frame(probability, box, height, width) >= structure.threshold
            mask = fill_holes(largest_component(mask))
            masks[name] = mask if outer is None else mask & outer
        return Prediction(masks, boxes)


def _choose(spec: bundle.Bundle, wanted: str) -> str:
    """`pytorch` needs no export: the weights are its form."""
    common = {"pytorch"}.union(*(s.runtimes for s in spec.structures.values()))
    common = {name for name in common if name == "pytorch" or all(name in s.runtimes for s in spec.structures.values())}
    if wanted == "auto":
        return next(name for name in runtimes.PREFERRED if name in common)
    if wanted not in common:
        raise UsageError(
            f"this bundle was not exported for the runtime '{wanted}'", expected=f"one of {', '.join(sorted(common))}"
        )
    return wanted
