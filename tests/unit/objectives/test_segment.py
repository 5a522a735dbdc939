import pytest
import torch

from parfocal.objectives import FAMILY, losses
from parfocal.objectives.segment import Segment

LOGITS = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
MASK = (LOGITS[:, 0] > 0.2).to(torch.uint8)


def test_the_default_gives_the_sum_and_its_parts_by_name() -> None:
    total, parts = FAMILY.load("segment")()(LOGITS.requires_grad_(), MASK)
    assert set(parts) == {"bce", "soft_dice"}
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("name", ["bce", "soft_dice"])
def test_one_loss_alone_can_be_named(name: str) -> None:
    total, parts = Segment(name)(LOGITS, MASK)
    assert list(parts) == [name]
    assert total.item() == pytest.approx(getattr(losses, name)(LOGITS, MASK.unsqueeze(1)).item())


def test_a_head_with_one_channel_a_class_takes_cross_entropy() -> None:
    total, parts = Segment("cross_entropy")(torch.zeros(2, 3, 4, 4), MASK)
    assert total.item() == pytest.approx(torch.tensor(3.0).log().item())
    assert list(parts) == ["cross_entropy"]
