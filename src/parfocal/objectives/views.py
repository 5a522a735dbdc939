"""Pictures as other cameras would have framed them: squares of any size about anywhere, in other colours.

A localizer that has only seen one camera's framing says where discs use to lie there. It is asked for whole photographs
and for squares about its own first answer (`parfocal.inference.locator`), so it learns from such views of its pictures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from parfocal.objectives import Batch

WHOLE = 0.25
"""Part of the pictures that stay whole."""
SIZES = (0.035, 0.45)
"""Radius that a view is drawn for, as a part of its side, log-uniform. The middle, an eighth, is what the locator's own
squares have: what a network is unsure of it draws towards the middle, and there that does no harm."""
SIDES = (0.2, 2.0)
"""Side of a view as a part of the frame's, at least and at most; log-uniform itself where no radius is known."""
PLACES = (0.1, 0.9)
"""Where in its view the centre lies, as parts of its sides."""
GAMMAS = (0.6, 1.6)
"""Exponent of each channel, log-uniform: another sensor, another lamp."""
GREY = 0.2
"""Part of the pictures that lose their colour."""


def drawn(batch: Batch, sizes: torch.Tensor) -> tuple[Batch, torch.Tensor]:
    """Views of a batch's pictures, and the radii in them.

    Args:
        batch: its generator draws; a picture without a point stays whole. A point that an augmentation has moved out of
            the frame is none.
        sizes: radii float32 [N], as parts of the frame's side; NaN where unknown.

    Returns:
        The batch with pictures and points of the views, targets as they were; radii float32 [N].
    """
    points = batch.points.cpu().numpy().astype(np.float64)
    points[~((points >= 0) & (points <= 1)).all(axis=1)] = np.nan
    corners, sides = _squares(points, sizes.cpu().numpy().astype(np.float64), batch.rng)
    images = _recoloured(_cut(batch.images, corners, sides), batch.rng)
    moved = torch.from_numpy((points - corners) / sides[:, None]).to(batch.points)
    return replace(batch, images=images, points=moved), sizes / torch.from_numpy(sides).to(sizes)


def _squares(points: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Upper left corners float64 [N, 2] and sides float64 [N] of the views, as parts of the frame's side."""
    count = len(points)
    whole = rng.random(count) < WHOLE
    wanted, free = _log_uniform(SIZES, rng, count), _log_uniform(SIDES, rng, count)
    places = rng.uniform(*PLACES, (count, 2))
    sides = np.where(np.isfinite(sizes), np.clip(sizes / wanted, *SIDES), free)
    corners = points - places * sides[:, None]
    stay = whole | np.isnan(points).any(axis=1)
    return np.where(stay[:, None], 0.0, corners), np.where(stay, 1.0, sides)


def _cut(images: torch.Tensor, corners: np.ndarray, sides: np.ndarray) -> torch.Tensor:
    """Squares of pictures float32 [N, C, S, S], resized to S, black where they reach beyond."""
    # The grid has -1 and 1 at the picture's edges: a part p of the side is 2 p - 1 there.
    shift = 2 * corners + sides[:, None] - 1
    theta = np.zeros((len(images), 2, 3))
    theta[:, 0, 0] = theta[:, 1, 1] = sides
    theta[:, :, 2] = shift
    grid = functional.affine_grid(torch.from_numpy(theta).to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _recoloured(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    count = len(images)
    gammas = torch.from_numpy(_log_uniform(GAMMAS, rng, (count, images.shape[1]))).to(images)
    grey = torch.from_numpy(rng.random(count) < GREY).to(images.device)[:, None, None, None]
    toned = images.clamp(min=1e-4) ** gammas[:, :, None, None]
    return torch.where(grey, toned.mean(1, keepdim=True), toned).contiguous(memory_format=torch.channels_last)


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), shape))
