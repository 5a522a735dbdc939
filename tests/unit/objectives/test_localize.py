import math

import pytest
import torch
from objectives_kit import Calls, batch

from parfocal.objectives import MAIN, UNKNOWN, views
from parfocal.objectives.localize import RADIUS_WEIGHT, Localize, LocalizeSettings, radii

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


RADIUS = Localize(LocalizeSettings(radius=True))


def square(side: int, first: int, last: int) -> torch.Tensor:
    target = torch.zeros(side, side, dtype=torch.uint8)
    target[first:last, first:last] = 1
    return target


def test_the_radius_is_that_of_a_disc_of_the_masks_area_and_unknown_where_that_is_cut_or_unsaid() -> None:
    partly = square(8, 2, 4)
    partly[7, 7] = UNKNOWN
    target = torch.stack([square(8, 2, 4), square(8, 0, 2), square(8, 0, 0), partly])
    found = radii(target)
    assert found[0].item() == pytest.approx(math.sqrt(4 / 64 / math.pi))
    assert found[1:].isnan().all()


def test_with_a_radius_the_squared_logarithmic_error_is_added_and_scored() -> None:
    target = torch.stack([square(8, 2, 4), square(8, 0, 2)])
    points = torch.tensor([[0.375, 0.375], [0.125, 0.125]])
    pictures = batch(torch.zeros(2, 3, 8, 8), target, points)
    true = math.log(math.sqrt(4 / 64 / math.pi))
    answer = torch.tensor([[0.375, 0.375, true + 0.5], [0.125, 0.125, 9.0]])
    scores = RADIUS.score({MAIN: Calls(lambda x: answer)}, pictures)
    assert scores.tolist() == pytest.approx([-math.sqrt(RADIUS_WEIGHT) * 0.5, 0.0], abs=1e-6)
    seen, sizes = views.drawn(pictures, radii(target))
    pictures = batch(pictures.images, target, points)  # its generator as it was
    told = torch.cat([seen.points, sizes.nan_to_num(1.0).log()[:, None] + 0.5], 1)
    total, parts = RADIUS.loss(MAIN, {MAIN: Calls(lambda x: told)}, pictures)
    assert parts["radius"].item() == pytest.approx(0.25, rel=1e-4)
    assert total.item() == pytest.approx(RADIUS_WEIGHT * 0.25, rel=1e-4)


def test_a_view_shows_the_structure_where_and_as_large_as_its_point_and_radius_say() -> None:
    side, n = 64, 40
    grid = (torch.arange(side) + 0.5) / side
    inside = (grid[None, :] - 0.4) ** 2 + (grid[:, None] - 0.55) ** 2 < 0.1**2
    images = inside.float().expand(n, 3, side, side)
    full = batch(images, inside.to(torch.uint8).expand(n, side, side), torch.tensor([[0.4, 0.55]]).expand(n, 2))
    seen, sizes = views.drawn(full, torch.full((n,), 0.1))
    assert seen.images.shape == full.images.shape
    bright = (seen.images > 0.5).all(1).float()
    area = bright.mean((1, 2))
    x, y = ((bright.sum(axis) * grid).sum(1) / bright.sum((1, 2)) for axis in (1, 2))
    whole = (seen.points > sizes[:, None]).all(1) & (seen.points < 1 - sizes[:, None]).all(1)  # no edge cuts them
    assert 10 < whole.sum() < n + 1
    assert torch.allclose(torch.stack([x, y], 1)[whole], seen.points[whole], atol=0.012)
    assert torch.allclose((area / torch.pi).sqrt()[whole], sizes[whole], rtol=0.12, atol=0.004)
    assert 0 < (sizes == 0.1).sum() < n / 2, "some stay whole"
    assert sizes.min() < 0.06
    assert sizes.max() > 0.2


def test_a_view_of_nothing_known_is_the_whole_picture_without_a_point() -> None:
    out = batch(points=torch.tensor([[1.2, 0.5], [NAN, NAN]]))
    seen, _ = views.drawn(out, torch.full((2,), NAN))
    assert seen.points.isnan().all()
    assert (seen.images.amax((1, 2, 3)) > 0.5).all()
