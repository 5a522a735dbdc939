"""Dark experience replay on a case worked by hand."""

import numpy as np
import objectives_kit
import pytest
import torch

from parfocal.objectives import MAIN
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Champion
from parfocal.strategies.derpp import DarkExperience, DarkExperienceSettings, logit_distance
from parfocal.training.batches import to_input

BASE = Segment(SegmentSettings(), "bce")


def test_the_distance_is_the_mean_square() -> None:
    """((1 - 3)^2 + (2 - 2)^2 + (0 + 4)^2 + (1 - 1)^2) / 4 = 5."""
    logits = torch.tensor([1.0, 2.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert float(logit_distance(logits, torch.tensor([3.0, 2.0, -4.0, 1.0]).view(1, 1, 2, 2).half())) == 5.0


def exemplars(*greys: int) -> Arrays:
    images = np.stack([np.full((8, 8, 3), grey, np.uint8) for grey in greys])
    return Arrays(images, np.zeros((len(greys), 8, 8), np.uint8), tuple(map(str, greys)))


def said(*values: float) -> np.ndarray:
    return np.stack([np.full((1, 8, 8), value, np.float16) for value in values])


def champion(**of: Arrays) -> Champion:
    logits = {name: said(*(float(case) for case in one.case_ids)) for name, one in of.items()}
    return Champion(objectives_kit.always(0.0), "A", of, lambda _: (), to_input, logits)


def test_each_exemplar_is_compared_with_what_was_said_of_it_unaugmented() -> None:
    """Every logit is the picture's grey level, as the network's answer: nothing differs, whichever are drawn.

    One step further, at grey level + 2, the mean square is 4.
    """
    given = champion(A=exemplars(10, 20, 30), B=exemplars(40, 50))
    strategy = DarkExperience(DarkExperienceSettings(alpha=0.5, rehearsed=3))
    for offset, expected in ((0.0, 0.0), (2.0, 0.5 * 4.0)):
        network = objectives_kit.Calls(lambda x, more=offset: x[:, :1] * 255 + more).train()
        _, parts = strategy.objective(BASE, given).loss(MAIN, {MAIN: network}, objectives_kit.batch(side=8))
        assert float(parts["logits"]) == pytest.approx(expected, abs=1e-3)
        assert [len(seen) for seen in network.seen] == [2, 3], "the batch, and the rehearsed exemplars"


def test_all_exemplars_take_their_turns() -> None:
    given = champion(A=exemplars(10, 20, 30), B=exemplars(40, 50))
    objective = DarkExperience(DarkExperienceSettings(rehearsed=1)).objective(BASE, given)
    network = objectives_kit.always(0.0).train()
    for seed in range(60):
        objective.loss(MAIN, {MAIN: network}, objectives_kit.batch(side=8, seed=seed))
    greys = [round(float(seen[0, 0, 0, 0]) * 255) for seen in network.seen[1::2]]
    assert set(greys) == {10, 20, 30, 40, 50}


def test_the_second_pass_leaves_no_trace_in_running_statistics() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.BatchNorm2d(1)).train()
    batch = objectives_kit.batch(side=8)
    strategy = DarkExperience(DarkExperienceSettings())
    strategy.objective(BASE, champion(A=exemplars(10, 250))).loss(MAIN, {MAIN: network}, batch)
    norm = network[1]
    assert int(norm.num_batches_tracked) == 1


def test_an_empty_memory_leaves_the_supervised_loss() -> None:
    assert DarkExperience(DarkExperienceSettings()).objective(BASE, champion()) is BASE
