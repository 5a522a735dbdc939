"""Phantoms in the layout of the reader `folder`, and a configuration that takes a pipeline seconds."""

from pathlib import Path

import cv2

from parfocal import phantoms
from parfocal.steps.config import RunConfig

PATIENTS = 24
SMALL = {
    "recipe": {"size": 64},
    "model": {"depth": 3, "width": 8, "increment": 1.5, "dropout": 0.0},
    "train": {"steps": 6, "batch_size": 4, "validate_every": 3},
    "retrain": {"train": {"steps": 4, "batch_size": 4, "validate_every": 2}, "exemplars": 4},
    "static_augmentation": {"copies": 0},
    "evaluate": {"overlays": 1, "resamples": 200, "latency_images": 2},
}


def write_experience(folder: Path, instrument: str, first: int) -> Path:
    """So many patients of a camera from number `first` on."""
    for kind in ("images", "disc", "cup"):
        (folder / kind).mkdir(parents=True)
    for patient in range(first, first + PATIENTS):
        shown = phantoms.case(instrument, patient, seed=5)
        suffix, data = shown.encode()
        (folder / "images" / f"{shown.name}{suffix}").write_bytes(data)
        for structure, mask in shown.masks.items():
            cv2.imwrite(str(folder / structure / f"{shown.name}.png"), mask * 255)
    return folder


def config(instrument: str) -> str:
    return RunConfig.parse({**SMALL, "data": {"reader": "folder", "instrument": instrument}}).canonical_json()
