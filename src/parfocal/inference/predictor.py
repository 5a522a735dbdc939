"""The cascade: each structure is looked for in its frame, outermost first, and laid back into the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError
from parfocal.core.task import TASKS, Structure
from parfocal.inference import locator as locating
from parfocal.inference import networks, stacks
from parfocal.inference.agreement import Probabilities, summed
from parfocal.inference.networks import Networks, described
from parfocal.inference.postprocess import Chain, PostConfig
from parfocal.inference.runtimes import network_input
from parfocal.preprocessing import recipes
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.locate import Located, Locator
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
        located: where the bundle's locator found the outermost structure; None where it did not, or there is none.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    boxes: Mapping[str, Box | None]
    probabilities: Mapping[str, NDArray[np.float32]]
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    located: Located | None = None


class Predictor:
    """Runs a bundle. May be used from several threads at once.

    Attributes:
        bundle: what bundle.json says.
        runtimes: name of the runtime that executes each structure.
    """

    _instrument = ""

    def __init__(self, folder: Path, runtime: str = "auto", *, verify: bool = True, instrument: str = "") -> None:
        """Load a bundle, by default a sealed one after checking every file of it.

        Args:
            folder: the bundle.
            runtime: member of the family `runtimes`; ``auto`` is what fits this machine
                (`parfocal.inference.choice`).
            verify: False for a bundle that is being made and has no manifest yet.
            instrument: of pictures of which nobody says it.

        Raises:
            DataContractError: the bundle is not whole or cannot be loaded; the message names the file.
            UsageError: there is no such runtime, or a structure was not exported for it.
        """
        folder = Path(folder)
        spec = bundle.read(folder) if verify else bundle.parse(folder)
        recipe = recipes.stored(spec.recipe, bundle.BUNDLE)
        locator = locating.of(folder, recipe, runtime, checksum=spec.locator)
        self._use(spec, networks.load(folder, spec, runtime), locator)
        self._instrument = instrument

    @classmethod
    def from_networks(
        cls, spec: Bundle, by_structure: Mapping[str, Probabilities], locator: Locator | None = None
    ) -> Predictor:
        """The cascade of `spec` around networks that are in memory, by structure."""
        self = cls.__new__(cls)
        self._use(spec, Networks(by_structure, dict.fromkeys(by_structure, "memory")), locator)
        return self

    def _use(self, spec: Bundle, found: Networks, locator: Locator | None) -> None:
        self._recipe, self._locator = recipes.stored(spec.recipe, bundle.BUNDLE), locator
        if self._recipe.finds is not None and locator is None:
            raise DataContractError("the recipe asks for a locator, and there is none", where=bundle.BUNDLE)
        networks.refuse_unfit(spec)
        self.bundle = spec
        self.runtimes = found.runtimes
        self._networks = found
        self._tidy = {name: tidy(spec.task, name) for name in spec.structures}

    def warm(self, times: int = 3) -> None:
        """Run every network on an empty frame, so that no photograph's answer is the slow first one.

        Raises:
            DataContractError: a network gives something that is no number.
        """
        stacks.refuse_alone(self.bundle)
        size = self._recipe.size
        for name, network in self._networks.each():
            for _ in range(times):
                probability, _ = described(network, np.zeros((1, 3, size, size), np.float32))
            if not np.isfinite(probability).all():
                raise DataContractError(f"the {name} network gives no numbers", where=name)
        if self._locator is not None:
            self._locator(np.zeros((size, size, 3), np.uint8))

    def predict(self, image: Picture, instrument: str = "") -> Prediction:
        """Segment a picture, uint8 BGR [H, W, 3] or uint16 grey [H, W], as `decode_image` gives it.

        A structure inside another is looked for in the box of the other's predicted mask and kept within that mask.
        Where the bundle has networks for single instruments, `instrument` says which answer; one that is not known, or
        not named, is answered by the newest one's.

        Raises:
            DataContractError: not such an array, not what the bundle's recipe is for, or one slice where a network
                looks at several (`predict_volume`).
        """
        stacks.refuse_alone(self.bundle)
        return self._predict(image, {}, instrument)

    def predict_volume(
        self, pictures: Sequence[Picture], numbers: Sequence[int] | None = None, instrument: str = ""
    ) -> Iterator[Prediction]:
        """Segment every slice of one volume, in order.

        A network that looks at neighbouring slices answers in overlapping stacks, and the mean of them counts; the
        others see one slice after the other.

        Args:
            pictures: as for `predict`, all of one size.
            numbers: of the slices, ascending, where some are missing; 0, 1, 2, ... when left out.
            instrument: as for `predict`.

        Raises:
            DataContractError: as `predict`, or slices of several sizes.
        """
        known = stacks.checked(pictures, numbers)
        answers: dict[str, NDArray[np.float32]] = {}
        for name, model in self.bundle.structures.items():
            if model.slices:
                frames = np.stack([self._whole(name, picture) for picture in pictures])
                network = self._networks.of(name, instrument or self._instrument)
                answers[name] = stacks.probabilities(network, frames, known, model.slices)
        for place, picture in enumerate(pictures):
            yield self._predict(picture, {name: found[place] for name, found in answers.items()}, instrument)

    def _whole(self, name: str, picture: Picture) -> NDArray[np.uint8]:
        """The frame of an outermost structure, uint8 [S, S, 3]."""
        box = self._recipe.box(Structure(name), *picture.shape[:2])
        assert box is not None, "an outermost structure has a box"
        return self._recipe.frame(picture, box)

    def _predict(self, image: Picture, answers: Mapping[str, NDArray[np.float32]], instrument: str) -> Prediction:
        """The cascade over one picture; `answers` are probabilities [C, S, S] that are known already."""
        colour = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not image.size or not (colour or (image.dtype == np.uint16 and image.ndim == 2)):
            raise DataContractError(
                f"cannot segment {image.dtype} {list(image.shape)}",
                expected="BGR, uint8 [H, W, 3], or grey, uint16 [H, W]",
            )
        height, width = image.shape[:2]
        at = None if self._locator is None else self._locator(image)
        masks: dict[str, NDArray[np.bool_]] = {}
        boxes: dict[str, Box | None] = {}
        probabilities: dict[str, NDArray[np.float32]] = {}
        features: dict[str, NDArray[np.float32]] = {}
        given: dict[tuple[int, Box], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for name, model in self.bundle.structures.items():
            outer = masks[model.inside] if model.inside else None
            box = self._recipe.box(Structure(name, model.inside), height, width, outer, at)
            boxes[name] = box
            if box is None:
                masks[name] = np.zeros((height, width), np.bool_)
                continue
            if name in answers:
                probabilities[name], pooled = summed(answers[name], model.channels), np.zeros(0, np.float32)
            else:
                network = self._networks.of(name, instrument or self._instrument)
                asked = id(network), box  # a network of several structures answers for all of them at once
                if asked not in given:
                    given[asked] = self._answer(network, image, box)
                classes, pooled = given[asked]
                probabilities[name] = summed(classes, model.channels)
            if len(pooled):
                features[name] = pooled
            cleaned = self._tidy[name](probabilities[name], model.threshold)
            mask = mask_from_frame(cleaned, box, height, width) >= model.threshold
            masks[name] = mask if outer is None else mask & outer
        return Prediction(masks, boxes, probabilities, features, at)

    def _answer(
        self, network: Probabilities, image: Picture, box: Box
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities [C, S, S] in the frame of `box` and pooled features [D]; of a recipe with tiles, the means."""
        tiles = self._recipe.tiles(box)
        if tiles == (box,):
            probability, pooled = described(network, network_input(self._recipe.frame(image, box)[None]))
            return probability[0], pooled[0]
        total: NDArray[np.float32] | None = None
        count = np.zeros((box.height, box.width), np.float32)
        found = []
        for tile in tiles:
            part, pooled = described(network, network_input(self._recipe.frame(image, tile)[None]))
            rows, columns = tile.top - box.top, tile.left - box.left
            window = slice(rows, rows + tile.height), slice(columns, columns + tile.width)
            total = np.zeros((part.shape[1], *count.shape), np.float32) if total is None else total
            total[:, *window] += part[0]
            count[window] += 1
            found.append(pooled[0])
        assert total is not None, "a recipe gives at least one tile"
        return total / count, np.mean(found, axis=0, dtype=np.float32)


def tidy(task: str, structure: str) -> Chain:
    """What anatomy allows of the structure's mask; of a structure that no task here has, one piece without holes."""
    known = TASKS[task].structures if task in TASKS else ()
    anatomy = next((one for one in known if one.name == structure), Structure(structure))
    steps = ("largest",) * bool(anatomy.pieces) + ("holes",) * anatomy.solid
    return Chain(PostConfig(steps=steps, settings={"largest": {"count": max(anatomy.pieces, 1)}}))
