"""From a picture to what a network sees. Preprocessing and inference share it to the bit.

A recipe is one file and one line of the table. Which one a run, a dataset or a bundle has is said by its `name`; where
nobody says it, it is `fundus`, the only one there was at first.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import (
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema

from parfocal.core.config import Config, inlined
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.registry import Family
from parfocal.core.task import Structure, Task
from parfocal.preprocessing.images import Picture, Pixels
from parfocal.preprocessing.locate import LocateConfig, Located
from parfocal.preprocessing.roi import Box, structure_box

FAMILY = Family(
    "recipes",
    {
        "fundus": "parfocal.preprocessing.fundus:FundusRecipe",
        "retcam": "parfocal.preprocessing.retcam:RetcamRecipe",
        "ct": "parfocal.preprocessing.ct:CtRecipe",
        "mr": "parfocal.preprocessing.mr:MrRecipe",
        "chest": "parfocal.preprocessing.chest:ChestRecipe",
    },
)
DEFAULT = "fundus"


class Recipe(Config):
    """What every recipe has. `Recipe.parse` and fields of the type `AnyRecipe` make the member that `name` says.

    Attributes:
        name: member of the family `recipes`.
        size: pixels, side of the square frame.
        one_frame: inner structures are looked for in the frame of the outermost.
        modalities: of the tasks that it is for; none given: of any.
    """

    modalities: ClassVar[tuple[str, ...]] = ()
    name: str
    size: int
    one_frame: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        description="look for inner structures in the outermost's frame, not in a closer one round what they are "
        "inside: for one network that learns all structures (train.together)",
    )

    @abstractmethod
    def frame(self, image: Picture, box: Box) -> Pixels:
        """What the network sees of `box`: uint8 [size, size, 3], in the order of BGR.

        Args:
            image: uint8 BGR [H, W, 3] or uint16 grey [H, W], as `decode_image` gives it; left as it is.
            box: inside it.

        Raises:
            DataContractError: a picture of another kind than the recipe is for.
        """

    def box(
        self,
        structure: Structure,
        height: int,
        width: int,
        outer: npt.NDArray[np.generic] | None = None,
        at: Located | None = None,  # noqa: ARG002
    ) -> Box | None:
        """Where to look for a structure: the whole picture, or the box of the structure it is inside and a tenth more.

        Args:
            structure: of the task.
            height, width: of the picture in pixels.
            outer: mask [H, W] of `structure.inside`; not used for an outermost structure.
            at: where the outermost structure was located, for a recipe that asks for that (`locate`).

        Returns:
            None when the structure is inside another whose mask is empty or, unless all have one frame, missing.
        """
        if self.whole(structure, outer):
            return Box(0, 0, height, width)
        return None if outer is None else structure_box(outer, 0.1)

    def whole(self, structure: Structure, outer: npt.NDArray[np.generic] | None) -> bool:
        """Whether the frame is the outermost structure's; arguments as for `box`."""
        return structure.inside is None or (self.one_frame and (outer is None or bool(outer.any())))

    def samples(self, box: Box, mask: Pixels, rng: np.random.Generator) -> tuple[Box, ...]:  # noqa: ARG002
        """The frames that are learned from: `box`, or boxes within it drawn by `rng` for a mask {0, 1} [H, W]."""
        return (box,)

    def tiles(self, box: Box) -> tuple[Box, ...]:
        """The frames that together answer for `box`; where they overlap, their mean counts."""
        return (box,)

    @property
    def finds(self) -> LocateConfig | None:
        """How the outermost structure is found before the picture is cropped; None: it is not."""
        finds: LocateConfig | None = getattr(self, "locate", None)
        return finds if finds is not None and finds.model else None

    @property
    def contrast_tiles(self) -> int:
        """Tiles along each side in which static copies have their contrast equalised."""
        return 8

    @model_validator(mode="wrap")
    @classmethod
    def _member(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls is not Recipe or not isinstance(values, Mapping):
            return handler(values)
        name = values.get("name", DEFAULT)
        try:
            made: Self = FAMILY.load(str(name)).model_validate(values)
        except UsageError as error:
            raise ValueError(f"{error.what}; {error.expected}; {error.next}") from None
        return made

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Of the base: the settings of all members, each described by the members that have it."""
        document = handler.resolve_ref_schema(handler(schema))
        if cls is Recipe:
            document["properties"] = _all_settings()
            document.pop("required", None)
        return document


AnyRecipe = SerializeAsAny[Recipe]
"""Type of a field that holds some recipe: it reads, writes and compares as the member it is."""


def refuse_unfit(recipe: Recipe, task: Task) -> None:
    """Refuse a recipe for pictures of another modality: its numbers would be taken for what they are not.

    Raises:
        UsageError: it is.
    """
    if recipe.modalities and task.modality not in recipe.modalities:
        fitting = [name for name in FAMILY if task.modality in (FAMILY.load(name).modalities or (task.modality,))]
        raise UsageError(
            f"the recipe '{recipe.name}' is not for {task.modality}, which the task {task.name} shows",
            where="recipe.name",
            expected=f"one of {', '.join(sorted(fitting))}",
        )


def stored(values: Mapping[str, Any], where: object) -> Recipe:
    """The recipe that a bundle holds.

    Raises:
        DataContractError: none that this program knows.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise DataContractError(f"the bundle's recipe cannot be read: {error}", where=where) from None


def _all_settings() -> dict[str, Any]:
    fields: dict[str, Any] = {"name": {"default": DEFAULT, "description": f"one of {', '.join(FAMILY)}"}}
    told: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    for name in FAMILY.table:
        for key, field in inlined(FAMILY.load(name).model_json_schema())["properties"].items():
            if key != "name":
                fields.setdefault(key, field)
                other = "" if field.get("default") == fields[key].get("default") else f" ({field.get('default')})"
                told[key].setdefault(field.get("description", ""), []).append(name + other)
    for key, texts in told.items():
        described = "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
        fields[key] = fields[key] | {"description": described}
    return fields
