"""Draw the picture of the README: a patient a column, a camera a row. `python examples/phantom_gallery.py OUT.jpg`"""

import sys
from pathlib import Path

import cv2
import numpy as np

from parfocal import phantoms

COLUMNS, SIDE = 6, 190


def tile(instrument: str, patient: int) -> np.ndarray:
    image = phantoms.case(instrument, patient, seed=0).image
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def main(out: Path) -> None:
    rows = []
    for instrument in phantoms.INSTRUMENTS:
        row = np.hstack([tile(instrument, patient) for patient in range(1000, 1000 + COLUMNS)])
        cv2.putText(row, instrument, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
        rows.append(row)
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/phantoms.jpg"))
