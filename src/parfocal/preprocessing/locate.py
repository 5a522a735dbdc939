"""A structure is found before the picture is cropped, so that every camera's crops are of one framing (docs/adr/0015).

What finds it is a network, and no network is known here: a `Locator` is handed in by whoever has one
(`parfocal.inference.locator`).
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from parfocal.core.config import Config
from parfocal.preprocessing.images import Picture


class Located(Config):
    """Where the outermost structure is, in source pixels; pixel centres at whole numbers."""

    x: float
    y: float
    radius: float = Field(gt=0, description="of a disc of its area")
    certainty: float = Field(ge=0, le=1, description="how well the locator's answers agree")


Locator = Callable[[Picture], Located | None]
"""Of a decoded picture; None where it does not know."""


class LocateConfig(Config):
    """Find the outermost structure first, and look for its outline in a square about it.

    A picture in which the locator does not find it keeps the trimmed whole.
    """

    model: str = Field(
        default="",
        description="empty: the whole picture, trimmed; else the folder of a localizer: what `parfocal pretrain "
        "--objective localize` wrote with pretrain.objective.radius=true, or a dataset or bundle that carries one; "
        "kept as the SHA-256 of its weights",
    )
    side: float = Field(
        default=6.0, ge=2.5, le=40, description="side of the square in radii of the structure, as the locator says it"
    )
