"""The cascade: each structure is looked for in its frame, outermost first, and laid back into the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle
from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import TASKS, Structure
from parfocal.inference.agreement import Probabilities
from parfocal.inference.postprocess import Chain, PostConfig
from parfocal.inference.runtimes import FAMILY, NATIVE, network_input
from parfocal.preprocessing import recipes
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.roi import Box, mask_from_frame


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the cascade found in one picture.

    Attributes:
        masks: bool [H, W] by structure; empty where nothing was found.
        boxes: where each structure was looked for, in source pixels; None when the structure it is inside is empty.
        probabilities: float32 [S, S] by structure, in the network's frame, before cleaning; absent without a box. Of a
            recipe that answers in tiles: of the whole box, [box.height, box.width].
        features: float32 [D] by structure, the spatial mean of every level of its network's encoder; absent without a
            box, and where the runtime does not give them.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    boxes: Mapping[str, Box | None]
    probabilities: Mapping[str, NDArray[np.float32]]
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Predictor:
    """Runs a bundle. May be used from several threads at once.

    Attributes:
        bundle: what bundle.json says.
        runtimes: name of the runtime that executes each structure.
    """

    def __init__(self, folder: Path, runtime: str = "auto", *, verify: bool = True) -> None:
        """Load a bundle, by default a sealed one after checking every file of it.

        Args:
            folder: the bundle.
            runtime: member of the family `runtimes`; ``auto`` takes the first export that bundle.json names for a
                structure, and the trained weights where there is none.
            verify: False for a bundle that is being made and has no manifest yet.

        Raises:
            DataContractError: the bundle is not whole or cannot be loaded; the message names the file.
            UsageError: there is no such runtime, or a structure was not exported for it.
        """
        folder = Path(folder)
        spec = bundle.read(folder) if verify else bundle.parse(folder)
        names = {name: _choose(name, model, runtime) for name, model in spec.structures.items()}
        networks = {name: FAMILY.load(names[name])(folder / spec.structures[name].folder) for name in names}
        self._use(spec, networks, names)

    @classmethod
    def from_networks(cls, spec: Bundle, networks: Mapping[str, Probabilities]) -> Predictor:
        """The cascade of `spec` around networks that are in memory, by structure."""
        self = cls.__new__(cls)
        self._use(spec, networks, dict.fromkeys(networks, "memory"))
        return self

    def _use(self, spec: Bundle, networks: Mapping[str, Probabilities], names: Mapping[str, str]) -> None:
        self._recipe = recipes.stored(spec.recipe, bundle.BUNDLE)
        earlier: set[str] = set()
        for name, model in spec.structures.items():
            if model.objective == "interact":
                raise UsageError(
                    f"the {name} network answers clicks, and nobody clicks here",
                    where=bundle.BUNDLE,
                    next="parfocal segment IMAGE --clicks 'ROW,COL' --model BUNDLE",
                )
            if model.inside is not None and model.inside not in earlier:
                raise DataContractError(
                    f"{name} is looked for inside {model.inside}, which does not come before it",
                    where=bundle.BUNDLE,
                    expected=f"a network for {model.inside}",
                    next=f"train on data with masks of {model.inside}",
                )
            earlier.add(name)
        self.bundle = spec
        self.runtimes = names
        self._networks = networks
        self._tidy = {name: _tidy(spec.task, name) for name in spec.structures}

    def warm(self, times: int = 3) -> None:
        """Run every network on an empty frame, so that no photograph's answer is the slow first one.

        Raises:
            DataContractError: a network gives something that is no number.
        """
        size = self._recipe.size
        for name, network in self._networks.items():
            for _ in range(times):
                probability, _ = _described(network, np.zeros((1, 3, size, size), np.float32))
            if not np.isfinite(probability).all():
                raise DataContractError(f"the {name} network gives no numbers", where=name)

    def predict(self, image: Picture) -> Prediction:
        """Segment a picture, uint8 BGR [H, W, 3] or uint16 grey [H, W], as `decode_image` gives it.

        A structure inside another is looked for in the box of the other's predicted mask and kept within that mask.

        Raises:
            DataContractError: not such an array, or not what the bundle's recipe is for.
        """
        colour = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not image.size or not (colour or (image.dtype == np.uint16 and image.ndim == 2)):
            raise DataContractError(
                f"cannot segment {image.dtype} {list(image.shape)}",
                expected="BGR, uint8 [H, W, 3], or grey, uint16 [H, W]",
            )
        height, width = image.shape[:2]
        masks: dict[str, NDArray[np.bool_]] = {}
        boxes: dict[str, Box | None] = {}
        probabilities: dict[str, NDArray[np.float32]] = {}
        features: dict[str, NDArray[np.float32]] = {}
        for name, model in self.bundle.structures.items():
            outer = masks[model.inside] if model.inside else None
            box = self._recipe.box(Structure(name, model.inside), height, width, outer)
            boxes[name] = box
            if box is None:
                masks[name] = np.zeros((height, width), np.bool_)
                continue
            probabilities[name], pooled = self._answer(name, image, box)
            if len(pooled):
                features[name] = pooled
            cleaned = self._tidy[name](probabilities[name], model.threshold)
            mask = mask_from_frame(cleaned, box, height, width) >= model.threshold
            masks[name] = mask if outer is None else mask & outer
        return Prediction(masks, boxes, probabilities, features)

    def _answer(self, name: str, image: Picture, box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities in the frame of `box` and pooled features [D]; of a recipe with tiles, their means."""
        tiles = self._recipe.tiles(box)
        if tiles == (box,):
            probability, pooled = _described(self._networks[name], network_input(self._recipe.frame(image, box)[None]))
            return probability[0, 0], pooled[0]
        total = np.zeros((box.height, box.width), np.float32)
        count = np.zeros_like(total)
        found = []
        for tile in tiles:
            part, pooled = _described(self._networks[name], network_input(self._recipe.frame(image, tile)[None]))
            rows, columns = tile.top - box.top, tile.left - box.left
            window = slice(rows, rows + tile.height), slice(columns, columns + tile.width)
            total[window] += part[0, 0]
            count[window] += 1
            found.append(pooled[0])
        return total / count, np.mean(found, axis=0, dtype=np.float32)


def _tidy(task: str, structure: str) -> Chain:
    """What anatomy allows of the structure's mask; of a structure that no task here has, one piece without holes."""
    known = TASKS[task].structures if task in TASKS else ()
    anatomy = next((one for one in known if one.name == structure), Structure(structure))
    steps = ("largest",) * bool(anatomy.pieces) + ("holes",) * anatomy.solid
    return Chain(PostConfig(steps=steps, settings={"largest": {"count": max(anatomy.pieces, 1)}}))


def _described(network: Probabilities, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities and pooled features; a network in memory may be any callable and then has none."""
    described = getattr(network, "described", None)
    if described is None:
        return network(batch), np.zeros((len(batch), 0), np.float32)
    found: tuple[NDArray[np.float32], NDArray[np.float32]] = described(batch)
    return found


def _choose(structure: str, model: StructureModel, runtime: str) -> str:
    if runtime == "auto":
        return next(iter(model.runtimes), NATIVE)
    FAMILY.load(runtime)
    if runtime != NATIVE and runtime not in model.runtimes:
        raise UsageError(
            f"{structure} was not exported for {runtime}",
            expected=f"one of {', '.join([*model.runtimes, NATIVE])}",
            next="use the runtime `auto`",
        )
    return runtime
