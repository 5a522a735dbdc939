"""The operations of post-processing, each with its settings. What they are given and give: `postprocess.Scene`."""

from __future__ import annotations

import math
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.inference.postprocess import Scene, fill_holes, largest_component


class Largest(Config):
    """Keeps the largest 4-connected pieces."""

    count: int = Field(default=1, ge=1, description="pieces to keep: 1 for a disc, 2 for a pair of lungs")

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        return scene.redrawn(largest_component(scene.mask, self.count))


class Holes(Config):
    """Fills the background that the mask encloses."""

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        return scene.redrawn(fill_holes(scene.mask))


class Convex(Config):
    """The smallest convex shape round the mask: mends what vessels bite out of a disc."""

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        points = cv2.findNonZero(scene.mask.astype(np.uint8))
        if points is None:
            return scene.probability
        hull = np.zeros(scene.mask.shape, np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
        return scene.redrawn(hull.astype(np.bool_))


class Ellipse(Config):
    """The ellipse with the mask's centre, second moments and area: the outline that ophthalmologists draw.

    A mask that the frame's edge cuts gives the ellipse of the part that is seen.
    """

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        rows, columns = np.nonzero(scene.mask)
        if not len(rows):
            return scene.probability
        centre = np.array([rows.mean(), columns.mean()])
        spread = np.cov(np.stack([rows, columns]), bias=True) + np.eye(2) / 12  # a pixel is a square, not a point
        grid = np.indices(scene.mask.shape).reshape(2, -1) - centre[:, None]
        # Twice the standard deviation is the semi-axis of a filled ellipse; then the area is made the mask's.
        radius = np.sqrt(np.einsum("ip,ij,jp->p", grid, np.linalg.inv(4 * spread), grid))
        mean_axis = math.sqrt(len(rows) / math.pi)
        radius *= math.sqrt(4 * math.sqrt(float(np.linalg.det(spread)))) / mean_axis
        share = np.clip(0.5 + (1 - radius) * mean_axis, 0, 1)
        return scene.soft(share.reshape(scene.mask.shape))


class Inside(Config):
    """Keeps what lies within the outer structure's mask: the cup within the disc."""

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        return scene.probability if scene.outer is None else scene.redrawn(scene.mask & scene.outer)


class Crf(Config):
    """Moves the outline to the picture's edges where the network is unsure: a Gaussian conditional random field.

    What the network is sure of stays; between, neighbours agree the more the more alike they look (Grady, Random walks
    for image segmentation, 2006, as scikit-image solves it; ADR 0012 says why this one).
    """

    background: float = Field(default=0.1, ge=0, lt=0.5, description="probability at and below which it is sure")
    object: float = Field(default=0.9, gt=0.5, le=1, description="probability at and above which it is sure")
    beta: float = Field(default=130.0, gt=0, description="how much a step of grey levels keeps neighbours apart")

    def __call__(self, scene: Scene) -> NDArray[np.float32]:
        try:
            from skimage.segmentation import random_walker
        except ModuleNotFoundError:
            raise UsageError("the operation 'crf' needs scikit-image", next="pip install 'parfocal[crf]'") from None
        if scene.frame is None:
            raise UsageError("the operation 'crf' needs the picture, and there is none here", where="post.steps")
        sure = np.where(scene.probability >= self.object, 2, np.where(scene.probability <= self.background, 1, 0))
        if len(np.unique(sure)) < 3:  # nothing to decide, or nothing to decide it by
            return scene.probability
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The probability range is outside")  # by a rounding; it is clipped below
            found = random_walker(scene.frame, sure, beta=self.beta, mode="cg_j", channel_axis=2, return_full_prob=True)
        return scene.soft(np.clip(found[1], 0, 1))
