"""A pretrained network as a sealed folder, and what a training takes of it.

pretrained.json   this module's `Pretrained`
model.json, weights.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from parfocal import models
from parfocal.core import formats, manifest
from parfocal.core.bundle import DatasetRef, PretrainedRef
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.models import transfer
from parfocal.training.config import EncoderConfig

PRETRAINED = "pretrained.json"


class Pretrained(Config):
    """Contents of pretrained.json."""

    schema_version: int = 1
    task: str
    objective: str
    recipe: dict[str, Any] = Field(default_factory=dict, description="what made the frames that it learned from")
    images: dict[str, int] = Field(description="training pictures by instrument")
    score_name: str
    score: float | None = Field(description="best validation score, higher is better; none where nothing was held out")
    datasets: tuple[DatasetRef, ...]
    key: str = ""


def read(folder: Path) -> Pretrained:
    """Read a pretrained network's description after checking every file of it.

    Raises:
        DataContractError: it is not one, or not whole.
    """
    manifest.verify(folder, "pretrained")
    try:
        return formats.read(Pretrained, folder / PRETRAINED)
    except (OSError, ValueError) as error:
        raise DataContractError(f"{PRETRAINED} cannot be read: {error}", where=folder) from None


def start_from(model: nn.Module, config: EncoderConfig) -> PretrainedRef | None:
    """Copy into `model` what the settings name, and freeze it if they say so.

    Returns:
        Where it came from; None when the settings name no pretrained network.

    Raises:
        DataContractError: the folder is not a pretrained network, or its shapes do not fit `model`.
    """
    if not config.pretrained:
        return None
    folder = Path(config.pretrained)
    found = read(folder)
    try:
        weights = load_file(folder / models.WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise DataContractError(f"the weights cannot be loaded: {error}", where=folder / models.WEIGHTS) from None
    try:
        names = transfer.load_encoder(model, weights, config.levels) if config.levels != 0 else ()
        if config.decoder:
            transfer.load_body(model, weights)
    except DataContractError as error:
        raise DataContractError(
            error.what,
            where=folder,
            expected=f"a network like {models.read_spec(folder).parameters}",
            next="pretrain with the same model.depth, model.width and model.increment",
        ) from None
    if config.freeze:
        transfer.freeze(model, names)
    return PretrainedRef(
        uri=str(folder.resolve()),
        checksum=manifest.read(folder).checksum,
        objective=found.objective,
        levels=config.levels,
        frozen=config.freeze,
        decoder=config.decoder,
    )
