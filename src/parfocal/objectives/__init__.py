"""What a training step optimises."""

from typing import Literal

from parfocal.core.registry import Family

FAMILY = Family("objectives", {"segment": "parfocal.objectives.segment:Segment"})

SegmentLoss = Literal["bce_dice", "bce", "soft_dice", "cross_entropy"]
