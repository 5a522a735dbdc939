"""The model bundle: what is trained, registered, judged and served for one task, as one folder.

bundle/
  bundle.json          this module's `Bundle`
  manifest.json        checksums and lineage
  reference.npz        what drift is measured against
  disc/ weights.safetensors model.json openvino.xml openvino.bin
  cup/  ...             or one folder for both: a network that tells them apart
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from parfocal.core import formats, manifest
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError

BUNDLE = "bundle.json"
REFERENCE = "reference.npz"
"""What the drift detectors hold new cases against (`parfocal.drift.reference`); absent in a bundle that has none."""


class Exported(Config):
    """One exported form of a structure's network."""

    file: str = Field(description="path inside the structure's folder")
    agreement: float = Field(description="Dice between its masks and the trained weights' masks on validation cases")


class Clicked(Config):
    """What a network that answers clicks was trained to see of them."""

    sigma: float = Field(default=2.0, gt=0, description="Gaussian that a click becomes, in pixels of the frame")
    previous: bool = Field(default=True, description="whether it sees its previous answer; else zeros")


class PretrainedRef(Config):
    """The pretrained network that a structure's training started from."""

    uri: str
    checksum: str
    objective: str = Field(description="what it was pretrained to do: restore, localize")
    levels: int | None = Field(default=None, description="encoder levels taken, from the first; none: all")
    frozen: bool = False
    decoder: bool = False


class OwnNetwork(Config):
    """A network that answers for one instrument alone."""

    folder: str
    runtimes: dict[str, Exported] = Field(default_factory=dict)


class StructureModel(Config):
    """One network of the cascade."""

    folder: str = Field(description="of the network inside the bundle; several structures may share one")
    inside: str | None = Field(default=None, description="structure whose predicted box is the region of interest")
    channels: tuple[int, ...] = Field(
        default=(0,),
        min_length=1,
        exclude_if=lambda channels: channels == (0,),
        description="of the network's output; their sum is the structure's probability. Structures with one folder "
        "have one network, whose channels are classes; left out: its only channel",
    )
    threshold: float = Field(default=0.5, description="probability at and above which a pixel belongs to the structure")
    runtimes: dict[str, Exported] = Field(default_factory=dict)
    objective: str = Field(default="segment", description="what its training optimised; interact answers clicks")
    clicks: Clicked | None = Field(default=None, description="how a network that answers clicks is to be asked")
    pretrained: PretrainedRef | None = None
    by_instrument: dict[str, OwnNetwork] = Field(
        default_factory=dict,
        exclude_if=lambda own: not own,
        description="instruments with a network of their own; any other, and who names none, is answered by `folder`",
    )
    slices: int = Field(
        default=0,
        ge=0,
        exclude_if=lambda depth: not depth,
        description="neighbouring slices of a volume that the network looks at together; 0, and then left out: one "
        "picture at a time",
    )


class DatasetRef(Config):
    """A dataset folder the bundle has learned from or is judged on."""

    instrument: str
    uri: str
    checksum: str
    unlabelled: bool = Field(
        default=False,
        exclude_if=lambda learned: not learned,
        description="its unlabelled pictures were learned from too, so that none of them is new to the networks",
    )


class ParentRef(Config):
    """The bundle a retrain started from."""

    uri: str
    checksum: str


class Bundle(Config):
    """Contents of bundle.json."""

    schema_version: int = 1
    task: str
    structures: dict[str, StructureModel] = Field(description="outermost first: the order of the cascade")
    recipe: dict[str, Any] = Field(description="preprocessing settings; inference repeats exactly these")
    instruments: tuple[str, ...] = Field(description="in the order in which they were learned")
    datasets: tuple[DatasetRef, ...] = Field(description="every dataset whose frozen splits this model answers for")
    locator: str = Field(
        default="",
        exclude_if=lambda checksum: not checksum,
        description="SHA-256 over the files of the folder `locator`; empty in a bundle without one",
    )
    memory_uri: str = Field(default="", description="the exemplar memory; never registered, never served")
    parent: ParentRef | None = None
    strategy: str = "initial"
    key: str = Field(default="", description="idempotency key of the run that made it")

    @property
    def stacked(self) -> bool:
        """Whether some network looks at neighbouring slices, so that one picture cannot be answered."""
        return any(model.slices for model in self.structures.values())

    @property
    def unserved(self) -> str:
        """Why a service that is sent one picture at a time cannot answer with it; empty when it can."""
        clicked = [name for name, model in self.structures.items() if model.objective == "interact"]
        if clicked:
            return f"its networks for {', '.join(clicked)} answer clicks"
        return "its networks look at neighbouring slices of a volume together" if self.stacked else ""


def read(folder: Path, *, verify: bool = True) -> Bundle:
    """Read a bundle, by default after checking every file against the manifest.

    Raises:
        DataContractError: the folder is not a whole, unchanged bundle.
    """
    (manifest.verify if verify else manifest.read)(folder, "bundle")
    return parse(folder)


def parse(folder: Path) -> Bundle:
    """Read bundle.json alone, as in a bundle that is being made.

    Raises:
        DataContractError: it is missing, cannot be read, or was written by a later program.
    """
    file = Path(folder) / BUNDLE
    try:
        return formats.read(Bundle, file)
    except (OSError, ValueError) as error:
        raise DataContractError(f"bundle.json cannot be read: {error}", where=file) from None
