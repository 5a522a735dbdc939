from math import log

import pytest
import torch

from parfocal.objectives import losses

# Two images of two pixels. Logits 0 and log 3 are probabilities 1/2 and 3/4.
LOGITS = torch.tensor([[[[0.0, log(3)]]], [[[0.0, 0.0]]]])
TARGET = torch.tensor([[[[0, 1]]], [[[1, 1]]]], dtype=torch.uint8)


def test_binary_cross_entropy_of_a_case_worked_by_hand() -> None:
    expected = -(log(1 / 2) + log(3 / 4) + log(1 / 2) + log(1 / 2)) / 4
    assert losses.bce(LOGITS, TARGET).item() == pytest.approx(expected)


def test_soft_dice_is_minus_the_logarithm_of_each_images_dice() -> None:
    first = (2 * 0.75 + 1) / (1.25 + 1 + 1)
    second = (2 * 1.0 + 1) / (1.0 + 2 + 1)
    assert losses.soft_dice(LOGITS, TARGET).item() == pytest.approx(-(log(first) + log(second)) / 2)


def test_the_default_is_the_sum_of_the_two() -> None:
    expected = losses.bce(LOGITS, TARGET) + losses.soft_dice(LOGITS, TARGET)
    assert losses.bce_dice(LOGITS, TARGET).item() == pytest.approx(expected.item())


def test_an_empty_mask_answered_by_nothing_costs_nothing() -> None:
    sure = torch.full((1, 1, 4, 4), -40.0)
    assert losses.bce_dice(sure, torch.zeros(1, 1, 4, 4)).item() == pytest.approx(0.0, abs=1e-6)


def test_the_largest_possible_mistake_is_still_finite() -> None:
    wrong = torch.full((1, 1, 128, 128), 100.0)
    assert torch.isfinite(losses.bce_dice(wrong, torch.zeros(1, 1, 128, 128)))


def test_cross_entropy_of_three_classes_worked_by_hand() -> None:
    logits = torch.tensor([[0.0, log(2), 0.0]]).reshape(1, 3, 1, 1)
    target = torch.tensor([[[1]]], dtype=torch.uint8)
    assert losses.cross_entropy(logits, target).item() == pytest.approx(-log(2 / 4))


@pytest.mark.parametrize("loss", [losses.bce, losses.soft_dice, losses.bce_dice])
def test_losses_are_float32_also_for_bfloat16_logits(loss) -> None:  # type: ignore[no-untyped-def]
    value = loss(LOGITS.to(torch.bfloat16), TARGET)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(LOGITS.to(torch.bfloat16).float(), TARGET).item())
