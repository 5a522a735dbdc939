"""Drift: does a stream of cases still look like the reference? A stream is one file and one line of this table.

Observations become vectors (a stream), vectors a distance from the reference (`mahalanobis`, `frequency`), distances
p-values against held-out cases (`conformal`), p-values a CUSUM (`cusum`) whose threshold comes from a declared run
length (`run_length`). Beside them: a window of the newest cases held against the reference as a whole (`mmd`), what the
answers are probably worth (`quality`), groups of cases that no known instrument made (`novelty`, `nearness`), and
disagreement with the mirror image (`flips`). `reference` keeps all of it in one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Protocol

from parfocal.core.registry import Family
from parfocal.core.types import Observation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FAMILY = Family(
    "drift",
    {
        "appearance": "parfocal.drift.appearance:Appearance",
        "framing": "parfocal.drift.framing:Framing",
        "plausibility": "parfocal.drift.plausibility:Plausibility",
        "acquisition": "parfocal.drift.acquisition:Acquisition",
    },
)


class Stream(Protocol):
    """One way to look at cases. Its score is a distance from the reference: larger is stranger.

    Attributes:
        name: as in the table.
        resolution: a standard deviation below this is taken for this, in the unit of the vectors' columns. It is what
            the measurement cannot resolve, and keeps a column that hardly varies from alarming on rounding.
        categories: how many of the last columns are names of things (as numbers) and not amounts: `frequency` scores
            them.
    """

    name: ClassVar[str]
    resolution: ClassVar[float]
    categories: ClassVar[int]

    def vectors(self, observations: Sequence[Observation], width: int = 0) -> NDArray[np.float64]:
        """One row a case, float64 [N, D], in their order, each row from its case alone.

        Args:
            observations: any number, also none.
            width: the D of the reference; 0 asks for the commonest of these cases.

        Returns:
            A row of NaN where a case lacks what is needed.
        """
        ...


@cache
def stream(name: str) -> Stream:
    """The stream of that name, made once: finding a member asks every installed package whether it has one."""
    made: Stream = FAMILY.load(name)()
    return made
