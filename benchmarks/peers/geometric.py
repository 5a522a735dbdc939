"""The changes of `parfocal.augmentation.geometric` with the same ranges, as MONAI and albumentations are told them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from parfocal.augmentation.geometric import AugmentConfig

KEYS = ["image", "mask"]


def monai(config: AugmentConfig, side: int, *, tones: bool = True) -> list[Any]:
    """Random transforms for dictionaries of a float image in [0, 1] and a mask, channels first.

    Its zoom is drawn for each axis alone and its brightness multiplies; it has nothing that is nearer to ours.
    """
    from monai.transforms import RandAffined, RandFlipd, RandScaleIntensityd, RandShiftIntensityd

    least, most = config.zoom
    changes = [
        RandFlipd(KEYS, prob=0.5, spatial_axis=1),
        RandFlipd(KEYS, prob=0.5, spatial_axis=0),
        RandAffined(
            KEYS,
            prob=1.0,
            rotate_range=np.deg2rad(config.rotation),
            translate_range=[config.shift * side] * 2,
            scale_range=[(least - 1, most - 1)] * 2,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
    ]
    if tones:
        changes.append(RandScaleIntensityd(["image"], factors=config.contrast, prob=1.0))
        changes.append(RandShiftIntensityd(["image"], offsets=config.brightness / 255, prob=1.0))
    return changes


def albumentations(config: AugmentConfig) -> Any:
    """One call for a uint8 image and a mask, channels last."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it asks the internet for a newer version of itself
    import albumentations as a

    return a.Compose(
        [
            a.HorizontalFlip(p=0.5),
            a.VerticalFlip(p=0.5),
            a.Affine(
                rotate=(-config.rotation, config.rotation),
                translate_percent=(-config.shift, config.shift),
                scale=config.zoom,
                keep_ratio=True,
                p=1.0,
            ),
            a.RandomBrightnessContrast(brightness_limit=config.brightness / 255, contrast_limit=config.contrast, p=1.0),
        ]
    )
