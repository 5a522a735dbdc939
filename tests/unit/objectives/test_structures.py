from math import log

import numpy as np
import pytest
import torch
from objectives_kit import always, batch

from parfocal.objectives import MAIN, UNKNOWN, losses, structures
from parfocal.objectives.segment import SegmentTogether

GROUPS = ((1, 2), (2,))  # disc: rim and cup; cup
RIM_OR_CUP, NOT_CUP = 128 + 0b110, 128 + 0b011

# Four pixels with the softmax (1/2, 1/4, 1/4), (1/4, 1/2, 1/4), (1/8, 1/8, 3/4), (1/3, 1/3, 1/3): background, rim, cup.
SOFTMAX = torch.tensor([[1 / 2, 1 / 4, 1 / 8, 1 / 3], [1 / 4, 1 / 2, 1 / 8, 1 / 3], [1 / 4, 1 / 4, 3 / 4, 1 / 3]])
LOGITS = (SOFTMAX.log() + torch.tensor([1.0, -2.0, 3.0, 0.5])).reshape(1, 3, 1, 4)


def target(*labels: int) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.uint8).reshape(1, 1, 4)


def test_cross_entropy_of_partial_labels_worked_by_hand() -> None:
    # The disc was drawn and the cup was not: outside 1/2; inside the sum of rim and cup, 3/4 and 7/8; one unknown.
    value = losses.cross_entropy(LOGITS, target(0, RIM_OR_CUP, RIM_OR_CUP, UNKNOWN))
    assert value.item() == pytest.approx(-(log(1 / 2) + log(3 / 4) + log(7 / 8)) / 3)


def test_a_pixel_of_either_class_pushes_both_alike_in_proportion_to_their_probability() -> None:
    logits = LOGITS.clone().requires_grad_()
    losses.cross_entropy(logits, target(UNKNOWN, UNKNOWN, RIM_OR_CUP, UNKNOWN)).backward()
    assert logits.grad is not None
    # d(-log(p1 + p2)) / dz = p - q with q = p / (p1 + p2) on the two: 1/8, 1/8 - 1/7, 3/4 - 6/7.
    assert logits.grad[0, :, 0, 2].tolist() == pytest.approx([1 / 8, 1 / 8 - 1 / 7, 3 / 4 - 6 / 7], abs=1e-6)
    assert not logits.grad[..., [0, 1, 3]].any()


def test_full_labels_cost_what_pytorch_says() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(2, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert losses.cross_entropy(logits, labels.to(torch.uint8)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_probability_of_a_structure_is_the_sum_of_its_channels() -> None:
    for channels, expected in zip(GROUPS, ([1 / 2, 3 / 4, 7 / 8, 2 / 3], [1 / 4, 1 / 4, 3 / 4, 1 / 3]), strict=True):
        found = structures.logits_of(LOGITS, channels).sigmoid().flatten()
        assert found.tolist() == pytest.approx(expected)


def test_the_other_losses_are_the_mean_over_the_structures_of_what_is_known_of_each() -> None:
    labels = target(0, RIM_OR_CUP, NOT_CUP, UNKNOWN)
    total, parts = structures.supervised("bce", LOGITS, labels, GROUPS)
    disc = -(log(1 - 1 / 2) + log(3 / 4)) / 2  # the third pixel is rim or background, so nobody knows
    cup = -(log(1 - 1 / 4) + log(1 - 3 / 4)) / 2  # the second may be
    assert total.item() == pytest.approx((disc + cup) / 2)
    assert parts["bce"].item() == pytest.approx(total.item())
    dice, _ = structures.supervised("soft_dice", LOGITS, labels, GROUPS)
    disc = -log((2 * 3 / 4 + 1) / (1 / 2 + 3 / 4 + 1 + 1))
    cup = -log(1 / (1 / 4 + 3 / 4 + 1))
    assert dice.item() == pytest.approx((disc + cup) / 2)
    both, parts = structures.supervised("bce_dice", LOGITS, labels, GROUPS)
    assert both.item() == pytest.approx(total.item() + dice.item())
    assert set(parts) == {"bce", "soft_dice"}


@pytest.mark.parametrize("name", ["cross_entropy", "bce_dice", "soft_dice_squared"])
def test_a_batch_without_labels_costs_nothing_and_stays_in_the_graph(name: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    total, _ = structures.supervised(name, logits, target(*[UNKNOWN] * 4), GROUPS)  # type: ignore[arg-type]
    assert total.item() == 0
    total.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_score_is_the_mean_dice_of_the_structures_that_a_case_decides() -> None:
    # Disc where rim and cup have half or more: all four pixels. Cup: the third alone.
    logits = LOGITS.expand(4, 3, 1, 4)
    labels = (0, 1, 2, 2), (0, RIM_OR_CUP, RIM_OR_CUP, 0), (UNKNOWN,) * 4, (0, 0, 0, 2)
    cases = torch.cat([target(*one) for one in labels])
    scores = SegmentTogether(GROUPS).score({MAIN: always(logits, 3)}, batch(torch.zeros(4, 3, 1, 4), cases))
    both = np.mean([2 * 3 / (4 + 3), 2 * 1 / (1 + 2)])
    assert scores[:2].tolist() == pytest.approx([both, 2 * 2 / (4 + 2)])
    assert np.isnan(scores[2])
    assert scores[3] == pytest.approx(np.mean([2 * 1 / (4 + 1), 0.0]))
