import base64

import cv2
import numpy as np

from parfocal.evaluation.overlays import picture

IMAGE = np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8)


def disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:300, :400]
    return np.hypot(rows - row, columns - column) <= radius


def decoded(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def points(path: str) -> np.ndarray:
    return np.array([[float(v) for v in pair.split(",")] for pair in path.strip("MZ").split("L")])


def test_the_crop_holds_every_outline_in_its_own_pixels() -> None:
    found = picture(
        "A", "disc", "worst", "x", {}, IMAGE, {"truth": disc(150, 200, 30), "challenger": disc(150, 240, 30)}
    )
    assert found.width == found.height
    assert found.width < 200
    left = points(found.outlines["truth"])[:, 0].min()
    right = points(found.outlines["challenger"])[:, 0].max()
    assert right - left == 100  # centres of the outermost pixels, 170 to 270
    assert 0 < left < right < found.width


def test_the_photograph_under_the_lines_is_the_right_piece_of_it() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[disc(150, 200, 30)] = 255
    found = picture("A", "disc", "best", "x", {}, image, {"truth": disc(150, 200, 30)})
    shown = decoded(found.uri)
    scale = shown.shape[1] / found.width
    x, y = points(found.outlines["truth"]).mean(0) * scale
    assert abs(x - shown.shape[1] / 2) < 4
    assert shown[int(y), int(x)].min() > 240
    assert shown[2, 2].max() < 15


def test_at_the_edge_the_crop_moves_in_and_a_tiny_mask_still_has_surroundings() -> None:
    found = picture("A", "disc", "best", "x", {}, IMAGE, {"truth": disc(0, 0, 2)})
    assert (found.width, found.height) == (48, 48)


def test_where_nothing_is_drawn_the_whole_photograph_is_shown() -> None:
    found = picture("A", "disc", "worst", "x", {}, IMAGE, {"truth": np.zeros((300, 400), bool)})
    assert (found.width, found.height, found.outlines["truth"]) == (400, 300, "")
    assert max(decoded(found.uri).shape[:2]) == 360
