"""Pictures with one bright disc anywhere, and a localizer that needs no training: it measures what is bright."""

import math

import cv2
import numpy as np

from parfocal.inference.locator import NetworkLocator
from parfocal.preprocessing.fundus import FundusRecipe

PLAIN = FundusRecipe(size=32, border=0.0, clahe_clip=0.0)


def disc_at(x: float, y: float, radius: float, height: int = 120, width: int = 160, seed: int = 0) -> np.ndarray:
    """A photograph with a bright disc, BGR; another seed has another grain."""
    image = np.random.default_rng(seed).integers(30, 60, (height, width, 3), np.uint8)
    centre = (round(x * 16), round(y * 16))
    cv2.circle(image, centre, round(radius * 16), (200, 220, 240), -1, cv2.LINE_AA, 4)
    return image


def mask_at(x: float, y: float, radius: float, height: int = 120, width: int = 160) -> np.ndarray:
    """Its mask, 0 and 255."""
    return (disc_at(x, y, radius, height, width)[..., 0] > 130).astype(np.uint8) * 255


def brightest(batch: np.ndarray) -> np.ndarray:
    """Centroid and radius of what is bright, float32 [N, 3]; of a frame where nothing is, its upper left corner."""
    found = []
    for frame in batch.mean(1):
        share = np.clip((frame - 0.2) / 0.65, 0, 1)
        rows, columns = (np.arange(side) + 0.5 for side in share.shape)
        total = share.sum()
        if total < 1:
            found.append((0.0, 0.0, math.log(0.1)))
            continue
        x, y = (share.sum(0) * columns).sum() / total, (share.sum(1) * rows).sum() / total
        area = total / share.size
        found.append((x / len(columns), y / len(rows), 0.5 * math.log(area / math.pi)))
    return np.array(found, np.float32)


def locator() -> NetworkLocator:
    return NetworkLocator(brightest, PLAIN)
