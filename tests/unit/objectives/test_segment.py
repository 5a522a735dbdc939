import pytest
import torch
from objectives_kit import always, batch

from parfocal.objectives import FAMILY, MAIN, SegmentLoss, losses
from parfocal.objectives.segment import Segment, SegmentSettings

LOGITS = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
MASK = (LOGITS[:, 0] > 0.2).to(torch.uint8)
BATCH = batch(torch.zeros(2, 3, 4, 4), MASK)


def test_the_default_gives_the_sum_and_its_parts_by_name() -> None:
    objective = FAMILY.load("segment")(SegmentSettings())
    total, parts = objective.loss(MAIN, {MAIN: always(LOGITS)}, BATCH)
    assert set(parts) == {"bce", "soft_dice"}
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("name", ["bce", "soft_dice"])
def test_one_loss_alone_can_be_named(name: SegmentLoss) -> None:
    total, parts = Segment(SegmentSettings(), name).loss(MAIN, {MAIN: always(LOGITS)}, BATCH)
    assert list(parts) == [name]
    assert total.item() == pytest.approx(getattr(losses, name)(LOGITS, MASK.unsqueeze(1)).item())


def test_a_head_with_one_channel_a_class_takes_cross_entropy() -> None:
    segment = Segment(SegmentSettings(), "cross_entropy")
    total, parts = segment.loss(MAIN, {MAIN: always(0.0, 3)}, BATCH)
    assert total.item() == pytest.approx(torch.tensor(3.0).log().item())
    assert list(parts) == ["cross_entropy"]


def test_the_score_is_the_dice_of_the_mask_at_one_half() -> None:
    scores = Segment(SegmentSettings()).score({MAIN: always(LOGITS - 0.2)}, BATCH)
    assert scores.tolist() == [1.0, 1.0]
