import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion

from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import UsageError
from parfocal.evaluation import metrics
from parfocal.inference.postprocess import Chain, PostConfig, clean, fill_holes, largest_component, redraw
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.roi import Box, mask_from_frame

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_the_largest_piece_stays() -> None:
    mask = drawn("##...", "##..#", "....#")
    np.testing.assert_array_equal(largest_component(mask), drawn("##...", "##...", "....."))


def test_pieces_that_touch_at_a_corner_are_two() -> None:
    assert largest_component(drawn("##.", "##.", "..#")).sum() == 4


def test_nothing_stays_nothing() -> None:
    assert not largest_component(np.zeros((3, 4), bool)).any()
    assert not fill_holes(np.zeros((3, 4), bool)).any()


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = drawn("####.", "#..#.", "####.", "#..##", "#..#.")
    np.testing.assert_array_equal(fill_holes(mask), drawn("####.", "####.", "####.", "#..##", "#..#."))


def test_a_mask_that_fills_the_frame_is_left_alone() -> None:
    assert fill_holes(np.ones((3, 4), bool)).all()


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_cleaning_twice_is_cleaning_once_and_a_filled_mask_only_grows(mask: np.ndarray) -> None:
    piece = largest_component(mask)
    filled = fill_holes(piece)
    assert not (piece & ~mask).any()
    assert not (piece & ~filled).any()
    np.testing.assert_array_equal(largest_component(filled), filled)
    np.testing.assert_array_equal(fill_holes(filled), filled)


@given(arrays(np.float32, (8, 8), elements=st.floats(0, 1, width=16)), st.floats(0.125, 0.875, width=16))
@settings(max_examples=200, deadline=None)
def test_cleaned_probabilities_cross_the_threshold_on_one_filled_piece(
    probability: np.ndarray, threshold: float
) -> None:
    expected = fill_holes(largest_component(probability >= threshold))
    cleaned = clean(probability, threshold)
    np.testing.assert_array_equal(cleaned >= threshold, expected)
    assert cleaned.dtype == np.float32


def test_one_piece_in_the_frame_is_one_piece_in_the_photograph() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        field = cv2.GaussianBlur(rng.random((32, 32)).astype(np.float32), (0, 0), 2)
        cleaned = clean(field, 0.5)
        assert ((field >= 0.5) & (cleaned < 0.5)).any(), "there was something to clean"
        mask = mask_from_frame(cleaned, Box(10, 20, 170, 150), 200, 200) >= 0.5
        np.testing.assert_array_equal(largest_component(mask), mask)


# ---- operations, one by one and in a chain

SOFT = arrays(np.float32, (10, 10), elements=st.floats(0, 1, width=32))
THRESHOLDS = st.sampled_from([0.3, 0.5, 0.7])


def chain(*steps: str, **settings: dict[str, object]) -> Chain:
    return Chain(PostConfig(steps=steps, settings=settings))


def oval(size: int, height: float, width: float, angle: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)
    return (along / height) ** 2 + (across / width) ** 2 <= 1


@given(SOFT, THRESHOLDS)
@settings(max_examples=200, deadline=None)
def test_the_default_chain_is_the_cleaning_that_bundles_were_judged_with_to_the_bit(
    probability: np.ndarray, threshold: float
) -> None:
    np.testing.assert_array_equal(Chain()(probability, threshold), clean(probability, threshold))


@given(SOFT, THRESHOLDS, st.sampled_from(["largest", "holes", "convex", "ellipse", "inside"]))
@settings(max_examples=200, deadline=None)
def test_every_operation_gives_probabilities_and_exact_ones_do_nothing_the_second_time(
    probability: np.ndarray, threshold: float, name: str
) -> None:
    outer = np.zeros((10, 10), bool)
    outer[2:9, 1:8] = True
    once = chain(name)(probability, threshold, outer=outer)
    assert once.dtype == np.float32
    assert once.shape == (10, 10)
    assert 0 <= once.min() <= once.max() <= 1
    if not (probability >= threshold).any():
        assert not (once >= threshold).any()
    if name == "convex":  # the hull of drawn lines may differ by a pixel
        assert not ((probability >= threshold) & ~(once >= threshold)).any()
    elif name != "ellipse":
        twice = chain(name)(once, threshold, outer=outer)
        np.testing.assert_array_equal(twice >= threshold, once >= threshold)


@pytest.mark.parametrize(("height", "width", "angle"), [(20, 20, 0), (24, 12, 0.6), (9, 28, -0.3)])
@pytest.mark.parametrize("threshold", [0.5, 0.35])
def test_an_ellipse_is_found_again_with_its_area_and_a_bitten_outline_becomes_round(
    height: float, width: float, angle: float, threshold: float
) -> None:
    true = oval(64, height, width, angle)
    fitted = chain("ellipse")(true.astype(np.float32), threshold) >= threshold
    assert abs(int(fitted.sum()) - int(true.sum())) <= 0.01 * true.sum()
    assert 2 * (fitted & true).sum() / (fitted.sum() + true.sum()) > 0.985
    wavy = true.copy()
    for row, column in np.argwhere(true & ~binary_erosion(true))[::9]:  # bites along the outline
        wavy[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = False
    mended = chain("ellipse")(wavy.astype(np.float32), threshold) >= threshold
    assert abs(int(mended.sum()) - int(wavy.sum())) <= 0.01 * true.sum()
    assert metrics.hausdorff(mended, true)[1] < metrics.hausdorff(wavy, true)[1]


def test_a_convex_shape_fills_bays_and_keeps_what_was_there() -> None:
    mask = drawn("#...#", "#...#", "#####")
    np.testing.assert_array_equal(chain("convex")(mask.astype(np.float32), 0.5) >= 0.5, np.ones((3, 5), bool))


def test_two_pieces_can_be_kept_and_order_counts() -> None:
    mask = drawn("##..###", "##..#.#", "....###", "#......").astype(np.float32)
    two = chain("largest", largest={"count": 2})(mask, 0.5) >= 0.5
    np.testing.assert_array_equal(two, drawn("##..###", "##..#.#", "....###", "......."))
    island = np.zeros((9, 9), np.float32)
    island[0:7, 0:7] = 1
    island[1:6, 1:6] = 0
    island[2:5, 2:5] = 1
    assert (chain("largest", "holes")(island, 0.5) >= 0.5).sum() == 49
    assert (chain("holes")(island, 0.5) >= 0.5).sum() == 49
    assert (chain("largest")(island, 0.5) >= 0.5).sum() == 24
    np.testing.assert_array_equal(chain()(island, 0.5), island)


def test_the_cup_is_kept_inside_the_disc_and_an_outermost_structure_is_left_alone() -> None:
    cup, disc = oval(32, 12, 12, 0), oval(32, 14, 8, 0)
    np.testing.assert_array_equal(chain("inside")(cup.astype(np.float32), 0.5, outer=disc) >= 0.5, cup & disc)
    np.testing.assert_array_equal(chain("inside")(cup.astype(np.float32), 0.5) >= 0.5, cup)


def test_the_random_field_moves_an_unsure_outline_to_the_edge_in_the_picture() -> None:
    true = oval(48, 14, 14, 0)
    frame = np.where(true, 150, 80).astype(np.uint8)
    noisy = np.clip(frame[..., None] + np.random.default_rng(0).normal(0, 6, (48, 48, 3)), 0, 255).astype(np.uint8)
    distance = np.hypot(*(np.mgrid[:48, :48] - 23.5))
    unsure = np.clip((18 - distance) / 12 + 0.5, 0, 1).astype(np.float32)  # drawn 4 pixels too far out
    before = unsure >= 0.5
    after = chain("crf")(unsure, 0.5, frame=noisy) >= 0.5
    assert (after != true).sum() < 0.1 * (before != true).sum()
    np.testing.assert_array_equal(after, chain("crf")(unsure, 0.5, frame=noisy) >= 0.5)
    np.testing.assert_array_equal(chain("crf")(true.astype(np.float32), 0.5, frame=noisy), true), "nothing is unsure"


def test_what_the_random_field_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    with pytest.raises(UsageError, match="needs the picture"):
        chain("crf")(soft, 0.5)
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(UsageError, match=r"pip install 'parfocal\[crf\]'"):
        chain("crf")(soft, 0.5, frame=np.zeros((8, 8, 3), np.uint8))


def test_a_wrong_name_or_setting_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(UsageError, match="did you mean 'ellipse'"):
        PostConfig(steps=("elipse",))
    with pytest.raises(UsageError, match="count"):
        PostConfig(settings={"largest": {"count": 0}})
    assert PostConfig.from_json('{"steps": ["crf"], "settings": {"crf": {"beta": 90}}}').operations()[0].beta == 90


def test_a_prediction_is_redrawn_from_its_own_probabilities() -> None:
    spec = Bundle(
        task="fundus",
        structures={"disc": StructureModel(folder="disc"), "cup": StructureModel(folder="cup", inside="disc")},
        recipe=FundusRecipe(size=64, clahe_clip=0).model_dump(),
        instruments=("A",),
        datasets=(),
    )

    def brighter_than(level: float):
        return lambda batch: np.clip((batch.mean(1, keepdims=True) - level) * 5 + 0.5, 0, 1).astype(np.float32)

    networks = {"disc": brighter_than(0.3), "cup": brighter_than(0.7)}
    rows, columns = np.mgrid[:300, :400]
    image = np.full((300, 400, 3), 10, np.uint8)
    image[(rows - 140) ** 2 + (columns - 220) ** 2 <= 50**2] = 128
    image[(rows - 145) ** 2 + (columns - 225) ** 2 <= 20**2] = 255
    image[136:144, 120:222] = 10  # a vessel from the side
    found = Predictor.from_networks(spec, networks).predict(image)

    def frame(box: Box) -> np.ndarray:
        return FundusRecipe(size=64, clahe_clip=0).frame(image, box)

    same = redraw(found, spec, Chain(), frame)
    assert all((same[name] == found.masks[name]).all() for name in spec.structures)
    round_again = redraw(found, spec, chain("largest", "holes", "convex"), frame)
    assert round_again["disc"].sum() > 1.05 * found.masks["disc"].sum()
    assert not (round_again["cup"] & ~round_again["disc"]).any()
    nothing = Predictor.from_networks(spec, networks).predict(np.zeros((30, 40, 3), np.uint8))
    assert not any(mask.any() for mask in redraw(nothing, spec, chain("ellipse"), frame).values())


def test_an_answer_in_tiles_is_redrawn_at_the_size_of_its_box() -> None:
    outer, inner = StructureModel(folder="a"), StructureModel(folder="b", inside="outer")
    spec = Bundle(task="t", structures={"outer": outer, "inner": inner}, recipe={}, instruments=("A",), datasets=())
    box = Box(5, 10, 45, 70)
    probability = np.zeros((40, 60), np.float32)
    probability[10:20, 10:30] = 1
    wide = np.zeros((40, 60), np.float32)
    wide[5:25, 5:25] = 1
    empty = np.zeros((50, 80), bool)
    prediction = Prediction(
        {"outer": empty, "inner": empty}, {"outer": box, "inner": box}, {"outer": wide, "inner": probability}
    )
    masks = redraw(
        prediction, spec, chain("largest", "inside"), lambda one: np.zeros((one.height, one.width, 3), np.uint8)
    )
    assert (masks["outer"].sum(), masks["inner"].sum()) == (400, 150)
    assert masks["inner"][15, 20]
