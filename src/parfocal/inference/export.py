"""Settings of `export`: what a trained network is written as, beside its weights."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.inference.runtimes import FAMILY, NATIVE, Exporter


class ExportConfig(Config):
    """Which forms of a network a bundle holds. Each makes it larger by about the size of the weights."""

    runtimes: tuple[str, ...] = Field(
        default=("openvino",),
        description="members of the family `runtimes` that a network is exported for, if its masks stay the weights' "
        "masks; on a CPU the first of them answers; none: the weights answer",
    )

    @field_validator("runtimes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        possible = [name for name in FAMILY if name != NATIVE]
        for name in names:
            if name not in possible:
                raise ValueError(f"nothing is exported for '{name}', expected some of {', '.join(possible)}")
        return tuple(dict.fromkeys(names))


def exporters(names: Sequence[str]) -> dict[str, type[Exporter]]:
    """The runtimes of these names, in order. Asked before a training starts, so that it does not end for nothing.

    Raises:
        UsageError: there is no such runtime, its package is not installed, or it executes the weights themselves.
    """
    found: dict[str, type[Exporter]] = {}
    for name in names:
        member = FAMILY.load(name)
        if not hasattr(member, "export"):
            raise UsageError(f"nothing is exported for {name}", where="export.runtimes")
        found[name] = member
    return found
