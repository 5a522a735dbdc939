"""Draw what is simulated: a patient a column, a camera or scanner a row.

`python examples/phantom_gallery.py OUT.jpg` draws the photographs of the README,
`python examples/phantom_gallery.py OUT.jpg volumes` CT, radiographs and MR, every second one with its true outline.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from parfocal import phantoms

COLUMNS, SIDE, FIRST = 6, 190, 1000
README = "ABCD"
TASKS = ("bone", "lung", "prostate")


def tile(image: np.ndarray) -> np.ndarray:
    """BGR image in the middle of a black square."""
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def photographs() -> list[np.ndarray]:
    patients = range(FIRST, FIRST + COLUMNS)
    return [
        labelled(camera, [phantoms.case(camera, patient, seed=0).image for patient in patients]) for camera in README
    ]


def volumes() -> list[np.ndarray]:
    infants = [phantoms.case("R", patient, seed=0).image for patient in range(FIRST, FIRST + COLUMNS)]
    rows = [labelled("R", infants)]
    for task in TASKS:
        for scanner in phantoms.scanners(task):
            rows.append(labelled(f"{task} {scanner}", [section(task, scanner, column) for column in range(COLUMNS)]))
    return rows


def section(task: str, scanner: str, column: int) -> np.ndarray:
    """One slice of a patient's volume, each column at another height, in the window that shows most."""
    made = phantoms.volume(task, scanner, FIRST + column, seed=0, slices=COLUMNS)
    image, mask = made.image[column].astype(np.float32), made.masks[task][column]
    low, high = (-250, 900) if task == "bone" else np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    shown = cv2.resize(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    if column % 2:
        outline = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, contours, -1, (80, 220, 255), 2, cv2.LINE_AA)
    return shown


def labelled(name: str, images: list[np.ndarray]) -> np.ndarray:
    row = np.hstack([tile(image) for image in images])
    cv2.putText(row, name, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    return row


def main(out: Path, what: str) -> None:
    rows = volumes() if what == "volumes" else photographs()
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/phantoms.jpg"), "".join(sys.argv[2:3]))
