import cv2
import numpy as np
import pytest

from parfocal.inference.observe import describe
from parfocal.inference.predictor import Prediction

H, W = 300, 400


def photograph(height: int = H, width: int = W, radius: int = 140) -> np.ndarray:
    """A lit field of view on black."""
    return cv2.circle(np.zeros((height, width, 3), np.uint8), (width // 2, height // 2), radius, (60, 90, 150), -1)


def prediction(x: int = 250, y: int = 120, radius: int = 20, embedding: tuple[float, ...] = (1.0, 2.0)) -> Prediction:
    disc = (
        cv2.circle(np.zeros((H, W), np.uint8), (x, y), radius, 1, -1).astype(bool) if radius else np.zeros((H, W), bool)
    )
    found = np.full((8, 8), 0.9, np.float32)
    masks = {"disc": disc, "cup": np.zeros((H, W), bool)}
    features = {"disc": np.zeros(3, np.float32), "cup": np.array(embedding, np.float32)} if radius else {}
    return Prediction(masks, {"disc": None, "cup": None}, {"disc": found} if radius else {}, features)


def test_places_and_sizes_are_fractions() -> None:
    seen = describe(photograph(), prediction())
    assert seen.shape["disc.x"] == pytest.approx(250 / W, abs=0.005)
    assert seen.shape["disc.y"] == pytest.approx(120 / H, abs=0.005)
    assert seen.shape["disc.radius"] == pytest.approx(20 / 280, rel=0.05)
    assert seen.shape["disc.probability"] == pytest.approx(0.9)
    assert seen.acquisition["field.width"] == pytest.approx(280 / W, abs=0.01)
    assert seen.acquisition["field.area"] == pytest.approx(np.pi * 140**2 / (H * W), abs=0.01)
    assert (seen.acquisition["width"], seen.acquisition["height"]) == (W, H)


def test_the_embedding_is_the_innermost_structures() -> None:
    assert describe(photograph(), prediction()).embedding == (1.0, 2.0)


def test_what_was_not_found_has_no_numbers_but_says_so() -> None:
    seen = describe(photograph(), prediction(radius=0))
    assert seen.shape == {"disc.empty": 1.0, "cup.empty": 1.0}
    assert seen.embedding == ()


def test_a_black_picture_has_no_field() -> None:
    seen = describe(np.zeros((H, W, 3), np.uint8), prediction())
    assert seen.acquisition["field.area"] == 0
    assert np.isfinite(list(seen.shape.values())).all()


def test_a_large_picture_of_the_same_scene_is_described_alike() -> None:
    small = describe(photograph(), prediction())
    large = describe(photograph(6 * H, 6 * W, 6 * 140), prediction())
    for name in ("field.area", "field.width", "field.height"):
        assert large.acquisition[name] == pytest.approx(small.acquisition[name], abs=0.01)
