import math

import pytest
import torch
from objectives_kit import Calls, batch

from parfocal.objectives import MAIN
from parfocal.objectives.localize import Localize, LocalizeSettings

NAN = math.nan
# Off by (0.3, 0.4), so 0.5 away; right; no point; half a point, which is none.
ANSWER = torch.tensor([[0.6, 0.8], [0.5, 0.5], [0.1, 0.1], [0.1, 0.1]])
POINTS = torch.tensor([[0.3, 0.4], [0.5, 0.5], [NAN, NAN], [0.9, NAN]])
BATCH = batch(torch.zeros(4, 3, 8, 8), torch.zeros(4, 8, 8, dtype=torch.uint8), POINTS)
LOCALIZE = Localize(LocalizeSettings())


def test_the_loss_is_the_mean_over_both_coordinates_of_the_pictures_with_a_point() -> None:
    total, parts = LOCALIZE.loss(MAIN, {MAIN: Calls(lambda x: ANSWER)}, BATCH)
    assert total.item() == pytest.approx((0.3**2 + 0.4**2) / 4)
    assert parts["distance"].item() == pytest.approx((0.5 + 0) / 2)


def test_a_batch_without_points_costs_nothing_and_its_gradient_is_zero_not_nan() -> None:
    answer = ANSWER.clone().requires_grad_()
    nowhere = batch(BATCH.images, BATCH.target, torch.full((4, 2), NAN))
    total, _ = LOCALIZE.loss(MAIN, {MAIN: Calls(lambda x: answer)}, nowhere)
    assert total.item() == 0
    total.backward()
    assert answer.grad is not None
    assert not answer.grad.any()


def test_the_score_is_minus_the_distance_and_nan_without_a_point() -> None:
    scores = LOCALIZE.score({MAIN: Calls(lambda x: ANSWER)}, BATCH)
    assert scores[:2].tolist() == pytest.approx([-0.5, 0.0])
    assert all(math.isnan(score) for score in scores[2:])
