"""Where the outermost structure is, before anything is cropped: a localizer that is asked three times over.

It looks at the whole picture as it is, mirrored and upside down. About each of the three answers it looks once more,
at a square: the first look brings the structure to the scale at which the second is exact. The mean of the three is
the answer, and whether they agree says whether the structure was found.

locator/
  locator.json                      this module's `Description`
  weights.safetensors, model.json   the localizer
  openvino.xml, openvino.bin        its export, in float32; absent where that says something else than the weights

The folder is part of a dataset, which was cropped by it, and of every bundle that learned from such datasets.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core import manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.task import Structure
from parfocal.inference.runtimes import NATIVE, network_input
from parfocal.preprocessing import recipes
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.locate import Located, Locator
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import Box, point_from_frame, square_box

FOLDER, DESCRIPTION, WEIGHTS = "locator", "locator.json", "weights.safetensors"
VIEW = 8.0
"""Side of the squares that it looks at again, in radii of its first answer."""
TURNS = ((False, False), (True, False), (False, True))
"""How the picture is looked at: mirrored, upside down."""
CERTAIN = 0.25
"""Least certainty of an answer: two centres three quarters of a radius apart, or radii three quarters of an octave."""
EXACT = 1e-3
"""Largest difference of an export's answers from the weights', in parts of the side and in logarithms of the radius."""

Points = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A localizer: float32 [N, 3, S, S] to [N, 3], (x, y) as parts of the sides and the logarithm of the radius as one."""
Answer = tuple[float, float, float]
"""(x, y, radius) in source pixels."""


class Description(Config):
    """Contents of locator.json."""

    schema_version: int = 1
    weights: str = Field(description="SHA-256 of the weights: what `recipe.locate.model` of a dataset or bundle names")
    recipe: dict[str, Any] = Field(description="makes the frames that the localizer learned from and is asked for")
    uri: str = Field(description="the pretrained folder that it came from")
    checksum: str = Field(description="of that folder")
    runtimes: tuple[str, ...] = Field(default=(), description="exports whose answers are the weights' answers")


class NetworkLocator:
    """A `Locator` around a localizer. May be used from several threads at once."""

    def __init__(self, network: Points, recipe: Recipe) -> None:
        """With the recipe of the frames that the localizer learned from."""
        self._network, self._recipe = network, recipe

    def __call__(self, image: Picture) -> Located | None:
        """Where it is in a picture, uint8 BGR [H, W, 3] or uint16 [H, W]; None when the answers differ.

        Raises:
            DataContractError: not a picture for the localizer's recipe.
        """
        height, width = image.shape[:2]
        whole = self._recipe.box(Structure("whole"), height, width)
        assert whole is not None, "an outermost structure has a box"
        answers = []
        for (x, y, radius), turn in zip(self._looks(image, whole, TURNS), TURNS, strict=True):
            near = square_box((x, y), VIEW * radius, height, width)
            answers += self._looks(image, near, (turn,))
        certainty = min(agreement(one, other) for one, other in combinations(answers, 2))
        if certainty < CERTAIN:
            return None
        xs, ys, radii = np.array(answers).T
        radius = float(np.exp(np.log(radii).mean()))
        return Located(x=float(xs.mean()), y=float(ys.mean()), radius=radius, certainty=certainty)

    def _looks(self, image: Picture, box: Box, turns: Sequence[tuple[bool, bool]]) -> list[Answer]:
        """Answers in source pixels, one a turn of the box's frame."""
        frame = self._recipe.frame(image, box)
        turned = [frame[:: -1 if upended else 1, :: -1 if mirrored else 1] for mirrored, upended in turns]
        said = self._network(network_input(np.stack(turned))).astype(np.float64)
        found = []
        for (mirrored, upended), (x, y, size) in zip(turns, said.tolist(), strict=True):
            at = point_from_frame((1 - x if mirrored else x, 1 - y if upended else y), box)
            found.append((*at, math.exp(size) * math.sqrt(box.width * box.height)))
        return found


def agreement(one: Answer, other: Answer) -> float:
    """How well two answers agree, in [0, 1].

    1 less the larger of two numbers: the distance of the centres in mean radii, the ratio of the radii in octaves.
    """
    apart = 2 * math.hypot(one[0] - other[0], one[1] - other[1]) / (one[2] + other[2])
    octaves = abs(math.log2(one[2] / other[2]))
    return max(0.0, 1.0 - max(apart, octaves))


def read(folder: Path) -> Description:
    """The description of a locator's folder.

    Raises:
        DataContractError: it is missing or cannot be read.
    """
    file = Path(folder) / DESCRIPTION
    try:
        return Description.model_validate_json(file.read_text())
    except (OSError, ValueError) as error:
        raise DataContractError(f"the locator's description cannot be read: {error}", where=file) from None


def load(folder: Path, runtime: str = "auto") -> NetworkLocator:
    """The locator of a dataset's or bundle's folder `locator`.

    Args:
        folder: of the locator.
        runtime: ``pytorch`` takes the weights; any other its export, or the weights where that is missing.

    Raises:
        DataContractError: it cannot be loaded.
    """
    said = read(folder)
    return NetworkLocator(_network(folder, said, runtime), recipes.stored(said.recipe, folder / DESCRIPTION))


def of(folder: Path, recipe: Recipe, runtime: str = "auto", *, checksum: str = "") -> Locator | None:
    """The locator that a bundle's recipe asks for, from the bundle at `folder`; None when it asks for none.

    Args:
        folder: of a bundle or dataset.
        recipe: names the locator by its weights.
        runtime: as for `load`.
        checksum: what `identity` must give, its export included; empty where nobody wrote it down.

    Raises:
        DataContractError: it is not there, it has changed, or another one is.
    """
    if recipe.finds is None:
        return None
    place = Path(folder) / FOLDER
    told = read(place).weights
    if told != recipe.finds.model:
        raise DataContractError(
            "this is not the localizer that the recipe names",
            where=place,
            expected=f"weights with SHA-256 {recipe.finds.model[:16]}…",
        )
    refuse_changed(place, told, checksum)
    return load(place, runtime)


def refuse_changed(place: Path, weights: str, checksum: str = "") -> None:
    """Refuse a locator's folder whose files are not those that were written down.

    Raises:
        DataContractError: its weights have another SHA-256 than `weights`, or all files together than `checksum`.
    """
    file = place / WEIGHTS
    if not file.is_file() or manifest.sha256(file) != weights:
        raise DataContractError(
            "the localizer's weights have changed since it was installed",
            where=file,
            expected=f"SHA-256 {weights[:16]}…",
            next="restore or remake the folder; do not edit it",
        )
    if checksum and identity(place) != checksum:
        raise DataContractError(
            "the localizer's files have changed since the bundle was made",
            where=place,
            expected=f"SHA-256 {checksum[:16]}… over its files",
            next="restore or remake the bundle; do not edit it",
        )


def identity(place: Path) -> str:
    """SHA-256, in hex, over names and contents of all files of a locator's folder."""
    digest = hashlib.sha256()
    for file in sorted(place.iterdir()):
        digest.update(f"{file.name} {manifest.sha256(file)}\n".encode())
    return digest.hexdigest()


def install(source: Path, out: Path, *, recipe: Mapping[str, Any], uri: str, checksum: str) -> Description:
    """Make a locator's folder of a pretrained localizer: copied, exported, and the export held against the weights.

    Args:
        source: folder with weights.safetensors and model.json, of a localizer that says the radius.
        out: made here.
        recipe: of the frames that it learned from.
        uri, checksum: of the pretrained folder.

    Raises:
        DataContractError: the network cannot be loaded or says no radius.
    """
    from parfocal import models
    from parfocal.inference.runtimes import openvino

    network = models.load(source)
    if not getattr(network, "radius", False):
        raise DataContractError(
            "this network does not say how large the structure is",
            where=source,
            expected="a localizer with a radius",
            next="parfocal pretrain DATASET --objective localize --set pretrain.objective.radius=true",
        )
    models.save(network, models.read_spec(source), out)
    size = recipes.stored(recipe, source).size
    openvino.export(network, out, size, openvino.FULL, masks=False)
    frames = np.random.default_rng(0).random((4, 3, size, size), np.float32)
    off = np.abs(openvino.OpenVINORuntime(out)(frames) - _weights(out)(frames)).max()
    if off > EXACT:
        for file in out.glob("openvino.*"):
            file.unlink()
    said = Description(
        weights=manifest.sha256(out / WEIGHTS),
        recipe=dict(recipe),
        uri=uri,
        checksum=checksum,
        runtimes=("openvino",) if off <= EXACT else (),
    )
    (out / DESCRIPTION).write_text(said.model_dump_json(indent=1) + "\n")
    return said


def _network(folder: Path, said: Description, runtime: str) -> Points:
    if runtime == NATIVE or "openvino" not in said.runtimes:
        return _weights(folder)
    from parfocal.inference.runtimes.openvino import OpenVINORuntime

    return OpenVINORuntime(folder)


def _weights(folder: Path) -> Points:
    """The trained weights themselves, on the CPU, each picture alone."""
    import torch

    from parfocal import models

    network = models.load(folder)

    def ask(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.concatenate([network(torch.from_numpy(one[None])).numpy() for one in batch])

    return ask
