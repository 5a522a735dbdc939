"""How much faster is our random change of a picture and its mask than MONAI's and albumentations'?

    python benchmarks/augmentation.py [--seconds 40] [--quick] [--pictures 32] [--side 128]

RGB pictures with a mask of one structure; all draw their changes from the same ranges, one picture after another, in
one process, in turn, on one thread. MONAI gets float pictures, channels first, as its cached data set holds them.
"as network input" adds what ours does later, a batch at a time: float32 in [0, 1]. Peers that are not installed
(`pip install 'parfocal[bench]'`) are left out. Before the race, one fixed turn and zoom is given to all: the pictures
that come out are compared with ours, away from the mask's outline and the picture's edge.
"""

from __future__ import annotations

import argparse
import random
from importlib.util import find_spec
from math import radians

import cv2
import numpy as np
import torch
from kit.turns import Turn, in_turn, show, timed
from peers import geometric as peers

from parfocal import phantoms
from parfocal.augmentation import geometric
from parfocal.augmentation.geometric import AugmentConfig, Change
from parfocal.training.batches import to_input

ANGLE, ZOOM = 30.0, 1.25


def pictures(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Discs of phantoms, a quarter of the side about: uint8 [N, side, side, 3] and mask [N, side, side]."""
    images, masks = [], []
    for number in range(count):
        case = phantoms.case("A", 800 + number, 0)
        images.append(cv2.resize(case.image, (side, side), interpolation=cv2.INTER_AREA))
        masks.append(cv2.resize(case.masks["disc"].astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST))
    return np.stack(images), np.stack(masks)


def ours(images: np.ndarray, masks: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    drawn = geometric.draw(config, rng, len(images))
    changed = [geometric.apply(*pair) for pair in zip(images, masks, drawn, strict=True)]
    return np.stack([image for image, _ in changed])


def turns(images: np.ndarray, masks: np.ndarray) -> dict[str, Turn]:
    config, rng, count, side = AugmentConfig(), np.random.default_rng(0), len(images), images.shape[1]
    found = {
        "ours": timed(lambda: ours(images, masks, config, rng), count),
        "ours, as network input": timed(
            lambda: to_input(ours(images, masks, config, rng), torch.device("cpu")).contiguous(), count
        ),
    }
    if find_spec("monai"):
        from monai.transforms import Compose

        rows = [{"image": i, "mask": m} for i, m in zip(*channels_first(images, masks), strict=True)]
        for name, tones in ("MONAI, RandFlipd and RandAffined", False), ("MONAI, tones as well", True):
            changes = Compose(peers.monai(config, side, tones=tones))
            found[name] = timed(lambda changes=changes: [changes(dict(row)) for row in rows], count)
    if find_spec("albumentations"):
        pipeline = peers.albumentations(config)
        found["albumentations"] = timed(
            lambda: [pipeline(image=i, mask=m) for i, m in zip(images, masks, strict=True)], count
        )
    return found


def channels_first(images: np.ndarray, masks: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous(), torch.from_numpy(masks)[:, None]


def differences(image: np.ndarray, mask: np.ndarray) -> dict[str, str]:
    """Mean difference from ours in grey levels and Dice of the masks, for one fixed turn and zoom."""
    side = len(image)
    picture, cut = geometric.apply(image, mask, Change(rotation=ANGLE, zoom=ZOOM))
    found = {}
    if find_spec("monai"):
        from monai.transforms import Affine

        fixed = {"rotate_params": -radians(ANGLE), "scale_params": (1 / ZOOM,) * 2, "padding_mode": "zeros"}
        x, y = (array[0] for array in channels_first(image[None], mask[None]))
        changed = Affine(**fixed, mode="bilinear", image_only=True)(x)
        after = Affine(**fixed, mode="nearest", image_only=True)(y)
        found["MONAI"] = (np.asarray(changed).transpose(1, 2, 0) * 255, np.asarray(after)[0])
    if find_spec("albumentations"):
        import albumentations as a

        both = a.Affine(rotate=(ANGLE, ANGLE), scale=(ZOOM, ZOOM), p=1.0)(image=image, mask=mask)
        found["albumentations"] = (both["image"].astype(float), both["mask"])
    inner = slice(side // 8, -side // 8), slice(side // 8, -side // 8)
    return {
        name: f"{np.abs(other[inner] - picture[inner]).mean():.2f} grey levels, "
        f"Dice {2 * (after.astype(bool) & cut.astype(bool)).sum() / (after.sum() + cut.sum()):.3f}"
        for name, (other, after) in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--quick", action="store_true", help="3 seconds: shows that it runs")
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    values = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    random.seed(0)
    images, masks = pictures(values.pictures, values.side)
    for name, far in differences(images[0], masks[0]).items():
        print(f"turned by {ANGLE:g} degrees and enlarged {ZOOM:g} times, {name} differs from ours by {far}")
    times = in_turn(turns(images, masks), 3 if values.quick else values.seconds)
    print(f"{len(images)} pictures of {values.side} x {values.side} x 3 with a mask; aim: 10 times as fast as MONAI")
    show(times, "ours", "ms a picture")


if __name__ == "__main__":
    main()
