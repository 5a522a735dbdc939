"""Every task is tried on a picture of its own kind, and every network of a bundle is asked."""

import numpy as np
import pytest

from parfocal.core.bundle import Bundle, OwnNetwork, StructureModel
from parfocal.core.task import TASKS
from parfocal.inference import probe
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.recipes import Recipe


def spec(task: str, **recipe: object) -> Bundle:
    own = {"B": OwnNetwork(folder="b")}
    name = TASKS[task].names[0]
    return Bundle(
        task=task, structures={name: StructureModel(folder=name, by_instrument=own)}, instruments=("A", "B"),
        recipe=Recipe.parse(recipe).model_dump(mode="json"), datasets=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "recipe", "dtype"),
    [
        ("fundus", {"name": "fundus"}, np.uint8),
        ("fundus", {"name": "retcam"}, np.uint8),
        ("lung", {"name": "chest"}, np.uint16),
        ("lung", {"name": "fundus"}, np.uint8),
        ("lung-ct", {"name": "ct"}, np.uint16),
        ("bone", {"name": "ct", "size": 224, "tiles_a_slice": 2}, np.uint16),
        ("prostate", {"name": "mr"}, np.uint16),
        ("vertebrae", {"name": "mr"}, np.uint16),
    ],
)
def test_a_picture_of_the_tasks_kind_is_answered(task: str, recipe: dict[str, object], dtype: type) -> None:
    made = spec(task, **recipe)
    one, other = (probe.picture(made, number) for number in (0, 1))
    assert one.dtype == dtype
    assert one.shape != other.shape or (one != other).any()
    name = TASKS[task].names[0]
    predictor = Predictor.from_networks(made, {name: lambda batch: np.full((len(batch), 1, *batch.shape[2:]), 0.9)})
    assert predictor.predict(one).masks[name].any()


def test_there_is_a_picture_for_every_task_that_is_known() -> None:
    assert all(probe.picture(spec(task, name="chest" if task == "lung" else "fundus"), 0).size for task in TASKS)


def test_every_instrument_with_a_network_of_its_own_is_asked() -> None:
    assert probe.instruments(spec("fundus")) == ("", "B")
