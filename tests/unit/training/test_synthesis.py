import numpy as np
import torch
from torch import nn

from parfocal.augmentation.geometric import AugmentConfig
from parfocal.training.synthesis import pairs


class Bright(nn.Module):
    """Inside of a mask white, outside black."""

    def forward(self, mask: torch.Tensor) -> torch.Tensor:
        return (200 * mask - 100).expand(-1, 3, -1, -1)


def masks(n: int) -> np.ndarray:
    made = np.zeros((n, 32, 32), np.uint8)
    for i in range(n):
        made[i, 8 : 20 + i, 10:22] = 1
    return made


def test_an_image_is_made_of_the_mask_beside_it() -> None:
    made = pairs(Bright(), masks(3), 20, shapes=AugmentConfig(), seed=1)
    assert made.image.shape == (20, 32, 32, 3)
    assert np.array_equal(made.image, np.repeat(made.mask[..., None] * 255, 3, -1))
    assert len({mask.tobytes() for mask in made.mask}) > 15, "masks are moved, not copied"
    again = pairs(Bright(), masks(3), 20, shapes=AugmentConfig(), seed=1)
    assert np.array_equal(made.mask, again.mask)
