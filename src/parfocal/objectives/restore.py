"""Models Genesis (Zhou and others 2019; paper 003): pretraining without labels, by undoing distortions."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from parfocal.augmentation.distortion import DistortionConfig, apply, draw, flipped
from parfocal.core.config import Config
from parfocal.objectives import MAIN, Batch, Networks, OneNetwork, Parts, SegmentLoss


class RestoreSettings(Config):
    """What is undone, and how the result is compared."""

    distance: Literal["l1", "l2"] = Field(
        default="l1", description="mean absolute (paper 003) or mean squared difference, of pictures in [0, 1]"
    )
    distortion: DistortionConfig = Field(
        default=DistortionConfig(), description="how often what is done to a picture (Models Genesis)"
    )


class Restore(OneNetwork):
    """The difference of a picture and what the network makes of its distortion.

    Pictures are distorted on the CPU as uint8, from the batch's generator, also on a GPU: about 0.05 ms each and one
    way there and back. A flip is done to the picture and to what it is compared with.

    Networks: the main one alone, three channels out, of which the sigmoid is the restored BGR picture. Logs: ``l1`` or
    ``l2``, in parts of full scale (squared).

    Args:
        settings: see `RestoreSettings`.
        loss: not used.
    """

    Settings: ClassVar[type[Config]] = RestoreSettings
    score_name: ClassVar[str] = "restoration"
    inputs: ClassVar[int] = 0
    outputs: ClassVar[Literal["mask", "image", "point"]] = "image"

    def __init__(self, settings: RestoreSettings, loss: SegmentLoss = "bce_dice") -> None:  # noqa: ARG002
        self.settings = settings

    def loss(self, player: str, networks: Networks, batch: Batch) -> tuple[torch.Tensor, Parts]:  # noqa: ARG002
        restored, original = self._restored(networks, batch)
        compare = functional.l1_loss if self.settings.distance == "l1" else functional.mse_loss
        total = compare(restored, original)
        return total, {self.settings.distance: total.detach()}

    def score(self, networks: Networks, batch: Batch) -> NDArray[np.float64]:
        """1 minus the mean absolute difference of each case, in [0, 1], whatever `distance` is trained."""
        restored, original = self._restored(networks, batch)
        score: NDArray[np.float64] = 1 - (restored - original).abs().mean((1, 2, 3)).double().detach().cpu().numpy()
        return score

    def _restored(self, networks: Networks, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network makes of the distorted pictures, and the pictures, float32 [N, 3, S, S] in [0, 1]."""
        pictures = (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        drawn = draw(self.settings.distortion, batch.rng, len(pictures), pictures.shape[1])
        pairs = [(apply(picture, one), flipped(picture, one)) for picture, one in zip(pictures, drawn, strict=True)]
        distorted, originals = (_input(np.stack(side), batch.images) for side in zip(*pairs, strict=True))
        return networks[MAIN](distorted).float().sigmoid(), originals


def _input(pictures: NDArray[np.uint8], like: torch.Tensor) -> torch.Tensor:
    """Float32 [N, 3, S, S] in [0, 1], channels-last in memory, on the device of `like`."""
    return torch.from_numpy(pictures).to(like.device).permute(0, 3, 1, 2).to(torch.float32).div_(255)
