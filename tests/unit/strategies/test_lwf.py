"""Learning without forgetting on cases worked by hand."""

from math import log

import numpy as np
import objectives_kit
import pytest
import torch

from parfocal.objectives import MAIN
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.strategies import Champion
from parfocal.strategies.lwf import LearningWithoutForgetting, LwfSettings, distillation

BASE = Segment(SegmentSettings(), "bce")


def test_the_cross_entropy_is_of_softened_probabilities() -> None:
    """T = 2, champion's logit 2 log 3: q = 3/4; network's 0: p = 1/2. Then -(3/4 log 1/2 + 1/4 log 1/2) = log 2.

    With the network's logit 2 log 3 as well it is the entropy of 3/4.
    """
    said = torch.full((1, 1, 1, 1), 2 * log(3))
    assert float(distillation(torch.zeros_like(said), said, 2.0)) == pytest.approx(log(2))
    entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    assert float(distillation(said, said, 2.0)) == pytest.approx(entropy)


def test_classes_are_softened_together_and_the_zero_of_their_logits_is_free() -> None:
    """T = 2, champion's logits 0, 0, 2 log 2: q = 1/4, 1/4, 1/2; the network's are equal: p = 1/3, so log 3."""
    said = torch.tensor([0.0, 0.0, 2 * log(2)])[None, :, None, None].repeat(2, 1, 4, 3)
    assert float(distillation(torch.full_like(said, 5.0), said, 2.0)) == pytest.approx(log(3))
    entropy = 2 * 0.25 * log(4) + 0.5 * log(2)
    assert float(distillation(said, said + 7.0, 2.0)) == pytest.approx(entropy, rel=1e-5)


def test_the_slope_is_the_difference_of_softened_probabilities_over_the_temperature() -> None:
    """(p - q) / T with p = 1/2, q = 3/4, T = 2."""
    logits = torch.zeros(1, 1, 1, 1, requires_grad=True)
    distillation(logits, torch.full((1, 1, 1, 1), 2 * log(3)), 2.0).backward()
    assert logits.grad is not None
    assert float(logits.grad) == pytest.approx(-0.125)


def test_both_look_at_the_same_picture_and_the_champion_as_in_use() -> None:
    network, teacher = objectives_kit.always(0.0).train(), objectives_kit.always(2 * log(3))
    champion = Champion(teacher, "A", {}, lambda _: (), lambda x, _: x)  # type: ignore[arg-type,return-value]
    batch = objectives_kit.batch()
    objective = LearningWithoutForgetting(LwfSettings(weight=3.0)).objective(BASE, champion)
    total, parts = objective.loss(MAIN, {MAIN: network}, batch)
    assert float(parts["distillation"]) == pytest.approx(3 * log(2))
    assert float(total) == pytest.approx(log(2) + 3 * log(2))
    assert len(network.seen) == 1, "the pass of the supervised loss is enough"
    assert teacher.seen == [], "the strategy asks a copy"


def test_a_pixel_that_nobody_labelled_is_distilled_too() -> None:
    champion = Champion(objectives_kit.always(5.0), "A", {}, lambda _: (), lambda x, _: x)  # type: ignore[arg-type,return-value]
    batch = objectives_kit.batch(target=torch.full((2, 32, 32), 255, dtype=torch.uint8))
    objective = LearningWithoutForgetting(LwfSettings()).objective(BASE, champion)
    total, _ = objective.loss(MAIN, {MAIN: objectives_kit.always(0.0).train()}, batch)
    assert float(total) == pytest.approx(log(2))
    assert np.isfinite(float(total))
