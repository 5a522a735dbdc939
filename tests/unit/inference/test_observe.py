import cv2
import numpy as np
import pytest

from parfocal.inference.observe import describe
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.roi import Box

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


def answered(cup: np.ndarray, **more: np.ndarray) -> Prediction:
    """A disc of radius 60 in the middle, and what the cup's network said in the box round it."""
    disc = cv2.circle(np.zeros((H, W), np.uint8), (200, 150), 60, 1, -1).astype(bool)
    box = Box(80, 130, 220, 270)
    inner = cv2.circle(np.zeros((H, W), np.uint8), (200, 150), 20, 1, -1).astype(bool)
    said = {"disc": np.full((64, 64), 0.0, np.float32), "cup": cup, **more}
    return Prediction({"disc": disc, "cup": inner}, {"disc": Box(0, 0, H, W), "cup": box}, said, {})


def disc_of(radius: int, x: int = 32, y: int = 32) -> np.ndarray:
    return cv2.circle(np.zeros((64, 64), np.float32), (x, y), radius, 1.0, -1)


def test_roundness_does_not_depend_on_size() -> None:
    small, large = (describe(photograph(), prediction(200, 150, radius)).shape for radius in (12, 90))
    assert small["disc.circularity"] == pytest.approx(0.9, abs=0.06)
    assert large["disc.circularity"] == pytest.approx(small["disc.circularity"], abs=0.06)
    long = prediction(200, 150, 40)
    long.masks["disc"][:145] = long.masks["disc"][156:] = False
    assert describe(photograph(), long).shape["disc.circularity"] < 0.5


def test_pieces_doubt_and_what_was_cut_off_are_of_the_answer_before_cleaning() -> None:
    whole = describe(photograph(), answered(disc_of(12))).shape
    assert (whole["cup.components"], whole["cup.outside"], whole["disc.components"]) == (1, 0, 0)
    assert whole["cup.entropy"] == pytest.approx(0, abs=1e-6)
    broken = describe(photograph(), answered(np.maximum(disc_of(12), disc_of(5, 3, 3)))).shape
    assert broken["cup.components"] == 2
    corner = disc_of(5, 3, 3).sum() / np.maximum(disc_of(12), disc_of(5, 3, 3)).sum()
    assert broken["cup.outside"] == pytest.approx(corner, abs=0.02), "the corner of the box lies outside the disc"
    half = describe(photograph(), answered(np.full((64, 64), 0.5, np.float32))).shape
    assert half["cup.entropy"] == pytest.approx(1.0, abs=1e-3), "one bit a pixel"
    quarter = describe(photograph(), answered(np.full((64, 64), 0.25, np.float32))).shape
    assert quarter["cup.entropy"] == pytest.approx(0.8113, abs=0.01)


def test_everything_that_is_said_is_a_finite_number() -> None:
    for radius in (0, 1, 20):
        seen = describe(photograph(), prediction(radius=radius))
        assert np.isfinite([*seen.shape.values(), *seen.acquisition.values()]).all()


def test_detail_is_measured_pixel_by_pixel_in_the_middle() -> None:
    flat = describe(photograph(radius=300), prediction()).acquisition
    assert (flat["sharpness"], flat["flat"]) == (pytest.approx(0, abs=0.5), pytest.approx(1, abs=0.02))
    grain = np.random.default_rng(0).normal(100, 10, (H, W, 1)).clip(0, 255).astype(np.uint8).repeat(3, 2)
    sharp = describe(grain, prediction()).acquisition
    soft = describe(cv2.GaussianBlur(grain, (0, 0), 2), prediction()).acquisition
    assert sharp["sharpness"] == pytest.approx(10 * np.sqrt(20 * 2 / np.pi), rel=0.05), "4 neighbours, 4 times itself"
    assert soft["sharpness"] < sharp["sharpness"] / 5
    assert soft["flat"] > sharp["flat"]
