"""Fine-tuning on the new instrument alone: the papers' method, and the lower bound on what is kept."""

from __future__ import annotations

from typing import ClassVar

from parfocal.core.config import Config
from parfocal.strategies.base import Base, PlainSettings


class FineTune(Base):
    """Batches of new pictures; the weights that training ended with."""

    Settings: ClassVar[type[Config]] = PlainSettings
