"""One network that answers for disc and cup, in memory and in tiles."""

import numpy as np
import pytest

from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.task import task
from parfocal.inference.agreement import agreement, summed
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.fundus import FundusRecipe

DISC = StructureModel(folder="together", channels=(1, 2))
CUP = StructureModel(folder="together", channels=(2,), inside="disc")
SPEC = Bundle(
    task="fundus",
    structures={"disc": DISC, "cup": CUP},
    recipe=FundusRecipe(size=64, clahe_clip=0, one_frame=True).model_dump(),
    instruments=("A",),
    datasets=(),
)


class Levels:
    """Rim where it is grey, cup where it is white; counts how often it was asked."""

    calls = 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        grey = batch.mean(1)
        classes = np.where(grey > 0.7, 2, np.where(grey > 0.3, 1, 0))
        return np.eye(3, dtype=np.float32)[classes].transpose(0, 3, 1, 2) * 0.8 + np.float32(0.2 / 3)


def eye(disc: int = 128, cup: int = 255) -> np.ndarray:
    image = np.full((300, 400, 3), 10, np.uint8)
    image[100:200, 150:250] = disc
    image[130:170, 180:220] = cup
    return image


def test_it_is_asked_once_a_picture_and_serves_every_structure() -> None:
    network = Levels()
    predictor = Predictor.from_networks(SPEC, {"disc": network, "cup": network})
    found = predictor.predict(eye())
    assert network.calls == 1
    assert found.boxes["cup"] == found.boxes["disc"]
    assert found.masks["disc"].sum() == pytest.approx(100 * 100, rel=0.05)
    assert found.masks["cup"].sum() == pytest.approx(40 * 40, rel=0.12)
    assert not (found.masks["cup"] & ~found.masks["disc"]).any()
    assert found.probabilities["disc"].max() == pytest.approx(0.8 + 0.4 / 3)
    predictor.warm(times=2)
    assert network.calls == 3


def test_without_a_disc_there_is_no_cup_nor_a_place_for_it() -> None:
    network = Levels()
    found = Predictor.from_networks(SPEC, {"disc": network, "cup": network}).predict(eye(10, 10))
    assert not found.masks["disc"].any()
    assert not found.masks["cup"].any()
    assert found.boxes["cup"] is None
    assert set(found.probabilities) == {"disc"}


def test_networks_of_their_own_are_each_asked() -> None:
    disc, cup = Levels(), Levels()
    Predictor.from_networks(SPEC, {"disc": disc, "cup": cup}).predict(eye())
    assert (disc.calls, cup.calls) == (1, 1)


def test_the_means_of_tiles_keep_their_channels() -> None:
    network = Levels()
    grey_cup = task("bone").structures[0].name
    spec = Bundle(
        task="bone",
        structures={grey_cup: StructureModel(folder="x", channels=(1, 2))},
        recipe={"name": "ct", "size": 64, "tiles_a_slice": 1, "windows": [[-1024, 3071]]},
        instruments=("A",),
        datasets=(),
    )
    image = np.zeros((64, 100), np.uint16)
    image[20:40, 10:90] = 4095
    found = Predictor.from_networks(spec, {grey_cup: network}).predict(image)
    assert network.calls > 1
    assert found.probabilities[grey_cup].shape == (64, 100)
    assert found.masks[grey_cup].sum() == 20 * 80


def test_agreement_is_that_of_the_channels_sum() -> None:
    probability = np.array([[0.3, 0.6], [0.3, 0.3], [0.4, 0.1]], np.float32).reshape(3, 1, 2)
    assert summed(probability, (1, 2)).ravel() == pytest.approx([0.7, 0.4])
    assert np.shares_memory(summed(probability, (1,)), probability)

    def swapped(batch: np.ndarray) -> np.ndarray:
        return probability[None, [0, 2, 1]]

    def plain(batch: np.ndarray) -> np.ndarray:
        return probability[None]

    inputs = np.zeros((1, 3, 1, 2), np.float32)
    assert agreement(plain, swapped, inputs, channels=(1, 2)) == 1
    assert agreement(plain, swapped, inputs, threshold=0.35, channels=(2,)) == 0
