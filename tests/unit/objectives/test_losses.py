from collections.abc import Callable
from math import log

import pytest
import torch

from parfocal.core.errors import UsageError
from parfocal.objectives import UNKNOWN, losses

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

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
def test_losses_are_float32_also_for_bfloat16_logits(loss: Loss) -> None:
    value = loss(LOGITS.to(torch.bfloat16), TARGET)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(LOGITS.to(torch.bfloat16).float(), TARGET).item())


def test_soft_dice_with_squares_below_worked_by_hand() -> None:
    first = (2 * 0.75 + 1) / (0.25 + 0.5625 + 1 + 1)
    second = (2 * 1.0 + 1) / (0.5 + 2 + 1)
    assert losses.soft_dice_squared(LOGITS, TARGET).item() == pytest.approx(-(log(first) + log(second)) / 2)


@pytest.mark.parametrize("loss", [losses.bce, losses.soft_dice, losses.soft_dice_squared])
def test_a_pixel_that_nobody_labelled_is_as_if_it_were_not_there(loss: Loss) -> None:
    more = torch.cat([LOGITS, torch.full((2, 1, 1, 3), 30.0)], 3)
    unknown = torch.cat([TARGET, torch.full((2, 1, 1, 3), UNKNOWN, dtype=torch.uint8)], 3)
    more.requires_grad_()
    value = loss(more, unknown)
    assert value.item() == pytest.approx(loss(LOGITS, TARGET).item(), rel=1e-6)
    value.backward()
    assert more.grad is not None
    assert not more.grad[..., 2:].any()
    assert more.grad[..., :2].any()


def test_cross_entropy_leaves_unknown_pixels_out_of_its_mean() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.arange(32).reshape(2, 4, 4).remainder(3).to(torch.uint8)
    full = losses.cross_entropy(logits[:, :, :2], target[:, :2])
    target[:, 2:] = UNKNOWN
    assert losses.cross_entropy(logits, target).item() == pytest.approx(full.item())


@pytest.mark.parametrize("loss", [losses.bce, losses.soft_dice])
def test_a_picture_without_labels_does_not_thin_out_the_mean_of_the_others(loss: Loss) -> None:
    target = TARGET.clone()
    target[1] = UNKNOWN
    assert loss(LOGITS, target).item() == pytest.approx(loss(LOGITS[:1], TARGET[:1]).item())


@pytest.mark.parametrize("name", ["bce_dice", "bce", "soft_dice", "cross_entropy"])
def test_a_batch_without_labels_costs_nothing_and_stays_in_the_graph(name: str) -> None:
    logits = torch.randn(2, 1 if name != "cross_entropy" else 3, 4, 4, requires_grad=True)
    total, _ = losses.supervised(name, logits, torch.full((2, 4, 4), UNKNOWN, dtype=torch.uint8))  # type: ignore[arg-type]
    assert total.item() == 0
    total.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_full_labels_give_to_the_bit_what_pytorch_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 1, 64, 64, generator=generator) * 3
    target = torch.randint(0, 2, (4, 1, 64, 64), generator=generator, dtype=torch.uint8)
    assert torch.equal(
        losses.bce(logits, target),
        torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float()),
    )


def test_dice_of_cases_by_hand_with_unknown_pixels_empty_and_unlabelled_pictures() -> None:
    logits = torch.tensor([[5.0, 0.0, -5.0, 5.0], [-5.0] * 4, [-5.0] * 4, [5.0] * 4]).reshape(4, 1, 1, 4)
    target = torch.tensor([[1, 0, 1, UNKNOWN], [0, 0, 0, UNKNOWN], [1, 0, 0, 0], [UNKNOWN] * 4], dtype=torch.uint8)
    # The first: found pixels 0 and 1 (a probability of one half counts), true 0 and 2, so 2 * 1 / (2 + 2).
    scores = losses.dice_of_cases(logits, target.reshape(4, 1, 4))
    assert scores[:3].tolist() == [0.5, 1.0, 0.0]
    assert str(scores[3]) == "nan"


def test_dice_of_several_classes_is_their_mean_without_the_background() -> None:
    classes = torch.tensor([0, 1, 1, 2])
    logits = torch.nn.functional.one_hot(classes, 3).float().T.reshape(1, 3, 1, 4)
    target = torch.tensor([[[0, 1, 2, 2]]], dtype=torch.uint8)
    assert losses.dice_of_cases(logits, target).tolist() == [pytest.approx((2 / 3 + 2 / 3) / 2)]


def test_a_loss_for_several_classes_is_refused_where_there_is_one_structure() -> None:
    assert losses.one_structure("bce", "cycle") == "bce"
    with pytest.raises(UsageError, match="'cycle' segments one structure"):
        losses.one_structure("cross_entropy", "cycle")
