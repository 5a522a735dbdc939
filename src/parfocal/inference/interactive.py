"""Segmentation that a person steers: an image, clicks and the answer so far give a better answer, within 50 ms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click, encode
from parfocal.core import bundle
from parfocal.core.bundle import Clicked
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import Structure
from parfocal.inference import locator
from parfocal.inference.agreement import Probabilities
from parfocal.inference.choice import choose
from parfocal.inference.postprocess import Chain, PostConfig
from parfocal.inference.runtimes import network_input, opened
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.locate import Locator
from parfocal.preprocessing.recipes import Recipe, stored
from parfocal.preprocessing.roi import Box, interpolation, mask_from_frame

INTERACT = "interact"
"""What bundle.json says of a network that was trained to answer clicks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network drew for the clicks so far.

    Attributes:
        mask: bool [H, W].
        probability: float32 [H, W] in [0, 1]; zero outside the box (in source pixels) where the network looked.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    box: Box


class InteractivePredictor:
    """Answers clicks. Keeps nothing between calls, and may be used from several threads at once.

    Attributes:
        structure: what is segmented.
        runtime: name of the runtime that executes the network.
    """

    _locator: Locator | None = None

    def __init__(
        self,
        folder: Path,
        structure: str = "",
        runtime: str = "auto",
        *,
        post: PostConfig | None = None,
        verify: bool = True,
    ) -> None:
        """Load an interactive structure of a bundle.

        Args:
            folder: the bundle.
            structure: its name; may be left out where one structure alone answers clicks.
            runtime: ``auto`` takes the first export, and the trained weights where there is none.
            post: operations on the answer; by default none, because a click may well ask for a second piece or a hole.
            verify: False for a bundle that is being made and has no manifest yet.

        Raises:
            DataContractError: the bundle is not whole or cannot be loaded.
            UsageError: it has no such structure, or that one does not answer clicks.
        """
        folder = Path(folder)
        spec = bundle.read(folder) if verify else bundle.parse(folder)
        name = structure or _only(spec, folder)
        model = spec.structures.get(name)
        if model is None or model.objective != INTERACT:
            raise UsageError(
                f"'{name}' of this bundle does not answer clicks",
                where=folder,
                expected=", ".join(_clickable(spec)) or "a structure that was trained with clicks",
                next="train one with --set train.objective.name=interact",
            )
        chosen = choose(name, model.runtimes, runtime)
        recipe = stored(spec.recipe, folder / bundle.BUNDLE)
        network = opened(chosen, folder / model.folder)
        self._use(network, Structure(name, model.inside), recipe, model.threshold, post, model.clicks or Clicked())
        self._locator = locator.of(folder, recipe, runtime, checksum=spec.locator)
        self.runtime = chosen

    @classmethod
    def from_network(
        cls,
        network: Probabilities,
        structure: Structure,
        recipe: Recipe,
        *,
        threshold: float = 0.5,
        post: PostConfig | None = None,
        clicked: Clicked | None = None,
    ) -> InteractivePredictor:
        """Around a network in memory: float32 [1, 6, S, S] to probabilities [1, 1, S, S]."""
        self = cls.__new__(cls)
        self._use(network, structure, recipe, threshold, post, clicked or Clicked())
        self.runtime = "memory"
        return self

    def _use(
        self,
        network: Probabilities,
        structure: Structure,
        recipe: Recipe,
        threshold: float,
        post: PostConfig | None,
        clicked: Clicked,
    ) -> None:
        self.structure, self._clicked = structure, clicked
        self._network, self._recipe, self._threshold = network, recipe, threshold
        self._chain = Chain(post or PostConfig(steps=()))

    def predict(
        self,
        image: Picture,
        clicks: Iterable[Click],
        previous: NDArray[np.generic] | None = None,
        *,
        outer: NDArray[np.bool_] | None = None,
    ) -> Answer:
        """Answer every click so far.

        Args:
            image: uint8 BGR [H, W, 3] or uint16 grey [H, W], as the recipe takes it.
            clicks: in source pixels, in any order; none gives what the network draws by itself. A background click
                outside the box says nothing new and is left out.
            previous: the answer before, `Answer.probability` or a mask [H, W]; None before the first.
            outer: mask [H, W] of the structure that this one is inside, which says where to look.

        Raises:
            DataContractError: not such arrays.
            UsageError: an object click where the network does not look, or no `outer` for an inner structure.
        """
        height, width = image.shape[:2]
        for name, array in (("previous answer", previous), (f"mask of {self.structure.inside}", outer)):
            if array is not None and array.shape != (height, width):
                raise DataContractError(f"a {name} of {list(array.shape)}", expected=f"[{height}, {width}]")
        box = self.look(image, outer)
        if box is None:
            raise UsageError(
                f"{self.structure.name} is looked for inside {self.structure.inside}, which is not there",
                next=f"segment {self.structure.inside} first and give its mask",
            )
        large = self._drawn(image, _inside(clicks, box, (height, width)), previous, box)
        mask = large >= self._threshold
        return Answer(mask if outer is None else mask & outer, large, box)

    def look(self, image: Picture, outer: NDArray[np.bool_] | None = None) -> Box | None:
        """Where the network looks, in source pixels; None without the structure that this one is inside."""
        looks = self._recipe.whole(self.structure, outer)
        at = self._locator(image) if looks and self._locator is not None else None
        return self._recipe.box(self.structure, image.shape[0], image.shape[1], outer, at)

    def _drawn(
        self, image: Picture, clicks: list[Click], previous: NDArray[np.generic] | None, box: Box
    ) -> NDArray[np.float32]:
        """Probabilities [H, W]; where the recipe's tiles overlap their mean counts, as without clicks."""
        height, width = image.shape[:2]
        tiles = self._recipe.tiles(box)
        if len(tiles) == 1:
            frame = self._recipe.frame(image, box)
            probability = self._chain(self._answered(frame, clicks, previous, box), self._threshold, frame)
            return mask_from_frame(probability, box, height, width)
        total = np.zeros((height, width), np.float32)
        count = np.zeros_like(total)
        for tile in tiles:
            frame = self._recipe.frame(image, tile)
            total += mask_from_frame(self._answered(frame, clicks, previous, tile), tile, height, width)
            count[tile.window] += 1
        total /= np.maximum(count, 1)
        total[box.window] = self._chain(total[box.window], self._threshold)
        return total

    def _answered(
        self, frame: NDArray[np.uint8], clicks: list[Click], previous: NDArray[np.generic] | None, box: Box
    ) -> NDArray[np.float32]:
        """Probabilities [S, S] of one frame."""
        size = self._recipe.size
        maps = encode(_into_frame(clicks, box, size), size, size, self._clicked.sigma)
        before = np.zeros((size, size), np.float32)
        if previous is not None and self._clicked.previous:
            before = _shrunk(previous, box, size)
        found: NDArray[np.float32] = self._network(stacked(frame, maps, before))[0, 0]
        return found


def stacked(frame: NDArray[np.uint8], maps: NDArray[np.float32], previous: NDArray[np.float32]) -> NDArray[np.float32]:
    """Network input float32 [1, 6, S, S]: BGR, object clicks, background clicks, the previous probability."""
    return np.concatenate([network_input(frame[None])[0], maps, previous[None]])[None]


def _inside(clicks: Iterable[Click], box: Box, shape: tuple[int, int]) -> list[Click]:
    """The clicks that the network can hear."""
    heard = []
    for click in clicks:
        if not (0 <= click.row < shape[0] and 0 <= click.column < shape[1]):
            raise UsageError(f"a click at row {click.row}, column {click.column}", expected=f"inside {list(shape)}")
        if holds(box, click):
            heard.append(click)
        elif click.object:
            raise UsageError(
                f"the object is clicked at row {click.row}, column {click.column}, where the network does not look",
                expected=f"rows {box.top} to {box.bottom - 1}, columns {box.left} to {box.right - 1}",
            )
    return heard


def holds(box: Box, click: Click) -> bool:
    """Whether a click is in a box."""
    return box.top <= click.row < box.bottom and box.left <= click.column < box.right


def _into_frame(clicks: Iterable[Click], box: Box, size: int) -> list[Click]:
    """Clicks in source pixels to clicks on the frame's pixels that hold them; those outside the frame are left out."""
    return [
        Click((one.row - box.top) * size // box.height, (one.column - box.left) * size // box.width, one.object)
        for one in clicks
        if holds(box, one)
    ]


def _shrunk(previous: NDArray[np.generic], box: Box, size: int) -> NDArray[np.float32]:
    part = previous[box.window].astype(np.float32, copy=False)
    if previous.dtype == np.uint8:  # a mask of 0 and 255, or of 0 and 1
        part = np.minimum(part, np.float32(1))
    found: NDArray[np.float32] = cv2.resize(part, (size, size), interpolation=interpolation(box, size))
    return found.clip(0, 1)


def _clickable(spec: bundle.Bundle) -> list[str]:
    return [name for name, model in spec.structures.items() if model.objective == INTERACT]


def _only(spec: bundle.Bundle, folder: Path) -> str:
    names = _clickable(spec)
    if len(names) > 1:
        raise UsageError("several structures answer clicks", where=folder, expected=f"one of {', '.join(names)}")
    return names[0] if names else next(iter(spec.structures))
