from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from parfocal import models
from parfocal.augmentation.clicks import Click
from parfocal.core.bundle import BUNDLE, Bundle, Exported, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import Structure
from parfocal.evaluation.interaction import simulate
from parfocal.inference.interactive import Answer, InteractivePredictor
from parfocal.inference.postprocess import PostConfig
from parfocal.inference.runtimes.openvino import export
from parfocal.models import ModelConfig
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.fundus import FundusRecipe

SIZE = 32
RECIPE = FundusRecipe(size=SIZE, clahe_clip=0, border=0.1)
DISC, CUP = Structure("disc"), Structure("cup", inside="disc")
IMAGE = np.random.default_rng(0).integers(0, 255, (200, 160, 3), dtype=np.uint8)


class Recorder:
    """A network that keeps what it was given and answers with the object clicks less the background clicks."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen.append(batch)
        return np.clip(np.maximum(batch[:, 5:6], batch[:, 3:4]) - batch[:, 4:5], 0, 1)


def around(network: Recorder, structure: Structure = DISC, **rest: object) -> InteractivePredictor:
    return InteractivePredictor.from_network(network, structure, RECIPE, **rest)


def test_channels_are_the_picture_then_object_then_background_then_the_previous_answer() -> None:
    network = Recorder()
    previous = np.zeros((200, 160), np.float32)
    previous[100:, :] = 0.75
    around(network).predict(IMAGE, [Click(60, 48), Click(150, 110, object=False)], previous)
    (batch,) = network.seen
    assert batch.shape == (1, 6, SIZE, SIZE)
    assert batch.dtype == np.float32
    # The box is rows 20 to 179 and columns 16 to 143: five source rows and four columns to a pixel of the frame.
    assert np.unravel_index(batch[0, 3].argmax(), (SIZE, SIZE)) == (8, 8)
    assert np.unravel_index(batch[0, 4].argmax(), (SIZE, SIZE)) == (26, 23)
    assert batch[0, 5, :15].max() == 0
    assert batch[0, 5, 17:].min() == batch[0, 5].max() == 0.75
    assert 0 < batch[0, :3].mean() < 1


def test_the_answer_is_laid_back_where_the_click_was() -> None:
    found = around(Recorder()).predict(IMAGE, [Click(62, 50)])
    assert isinstance(found, Answer)
    rows, columns = np.nonzero(found.mask)
    assert abs(rows.mean() - 62) < 3
    assert abs(columns.mean() - 50) < 3
    assert found.mask.shape == found.probability.shape == IMAGE.shape[:2]
    assert found.mask.dtype == bool
    np.testing.assert_array_equal(found.mask, found.probability >= 0.5)


def test_an_answer_comes_back_as_the_previous_one_and_masks_of_255_are_masks() -> None:
    network = Recorder()
    predictor = around(network)
    first = predictor.predict(IMAGE, [Click(60, 48)])
    second = predictor.predict(IMAGE, [Click(150, 110)], first.probability)
    assert second.mask[60, 48], "what was drawn before is still there"
    assert second.mask[150, 110]
    predictor.predict(IMAGE, [], np.full((200, 160), 255, np.uint8))
    predictor.predict(IMAGE, [], np.ones((200, 160), bool))
    np.testing.assert_array_equal(network.seen[-1][0, 5], np.ones((SIZE, SIZE)))
    np.testing.assert_array_equal(network.seen[-2], network.seen[-1])


def test_an_inner_structure_is_looked_for_in_the_outer_mask() -> None:
    outer = np.zeros((200, 160), bool)
    outer[80:120, 60:100] = True
    predictor = around(Recorder(), CUP)
    found = predictor.predict(IMAGE, [Click(100, 80)], outer=outer)
    assert (found.box.top, found.box.bottom, found.box.left, found.box.right) == (76, 124, 56, 104)
    assert not (found.mask & ~outer).any()
    with pytest.raises(UsageError, match="inside disc"):
        predictor.predict(IMAGE, [Click(100, 80)])


def test_clicks_outside_are_refused_or_say_nothing_new() -> None:
    network = Recorder()
    predictor = around(network)
    predictor.predict(IMAGE, [Click(0, 0, object=False)])
    assert not network.seen[0][0, 3:5].any()
    with pytest.raises(UsageError, match="does not look"):
        predictor.predict(IMAGE, [Click(0, 0)])
    with pytest.raises(UsageError, match="row 200"):
        predictor.predict(IMAGE, [Click(200, 0, object=False)])
    with pytest.raises(DataContractError, match="previous answer"):
        predictor.predict(IMAGE, [], np.zeros((20, 16)))
    with pytest.raises(DataContractError, match="grey pixels"):
        predictor.predict(IMAGE[..., 0], [])


def test_a_slice_that_is_answered_in_tiles_hears_a_click_in_every_tile_that_holds_it() -> None:
    network = Recorder()
    recipe = CtRecipe(size=SIZE, tiles_a_slice=4)
    predictor = InteractivePredictor.from_network(network, Structure("bone"), recipe)
    ct = np.random.default_rng(0).integers(0, 3000, (80, 100), dtype=np.uint16)
    found = predictor.predict(ct, [Click(40, 50), Click(0, 99, object=False)])
    heard = [batch[0, 3].max() for batch in network.seen]
    assert len(heard) > 6
    assert 0 < sum(value == 1 for value in heard) < len(heard)
    rows, columns = np.nonzero(found.mask)
    assert (round(rows.mean()), round(columns.mean())) == (40, 50)
    again = predictor.predict(ct, [Click(10, 10)], found.probability)
    assert again.mask[40, 50], "the previous answer is cut into the same tiles"


def test_post_processing_is_off_until_it_is_asked_for() -> None:
    clicks = [Click(60, 48), Click(150, 110), Click(150, 114)]
    both = around(Recorder()).predict(IMAGE, clicks).mask
    one = around(Recorder(), post=PostConfig(steps=("largest",))).predict(IMAGE, clicks).mask
    assert both[60, 48]
    assert not one[60, 48]
    assert one[150, 110]


def test_it_can_be_judged_click_by_click() -> None:
    predictor = around(Recorder())
    truth = np.zeros((200, 160), bool)
    truth[55:66, 45:56] = True
    rounds = simulate(lambda image, clicks, previous: predictor.predict(image, clicks, previous).mask, IMAGE, truth, 3)
    assert rounds.clicks[0] == Click(60, 50)
    assert rounds.dice[0] > 0.4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a network of six channels, exported, and one that takes no clicks."""
    made = tmp_path_factory.mktemp("bundle")
    spec = ModelConfig(depth=2, width=6).spec(in_channels=6)
    network = models.build(spec.name, spec.parameters)
    models.save(network, spec, made / "disc")
    export(network, made / "disc", SIZE, channels=6)
    written = Bundle(
        task="fundus",
        structures={
            "disc": StructureModel(
                folder="disc",
                objective="interact",
                runtimes={"openvino": Exported(file="openvino.xml", agreement=1.0)},
            ),
            "cup": StructureModel(folder="cup", inside="disc"),
        },
        recipe=RECIPE.model_dump(),
        instruments=("A",),
        datasets=(),
    )
    (made / BUNDLE).write_text(written.model_dump_json())
    return made


def test_a_bundle_is_loaded_and_its_export_answers_as_its_weights_do(folder: Path) -> None:
    clicks = [Click(100, 80), Click(40, 40, object=False)]
    exported = InteractivePredictor(folder, verify=False)
    weights = InteractivePredictor(folder, "disc", "pytorch", verify=False)
    assert (exported.runtime, weights.runtime, exported.structure.name) == ("openvino", "pytorch", "disc")
    one, other = (p.predict(IMAGE, clicks).probability for p in (exported, weights))
    np.testing.assert_allclose(one, other, atol=0.02)
    assert np.abs(weights.predict(IMAGE, clicks[:1]).probability - other).max() > 1e-5, "a click is heard"


def test_threads_get_the_answers_that_one_caller_gets(folder: Path) -> None:
    predictor = InteractivePredictor(folder, verify=False)
    clicks = [[Click(40 + 5 * i, 80)] for i in range(12)]
    alone = [predictor.predict(IMAGE, one).probability for one in clicks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: predictor.predict(IMAGE, one).probability, clicks))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_structure_that_takes_no_clicks_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="'cup' of this bundle does not answer clicks"):
        InteractivePredictor(folder, "cup", verify=False)
