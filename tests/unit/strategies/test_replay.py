import numpy as np
import pytest

from parfocal.memory.sampler import Sampler
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies.replay import Replay, ReplaySettings


def arrays(count: int, grey: int) -> Arrays:
    return Arrays(
        np.full((count, 4, 4, 3), grey, np.uint8),
        np.zeros((count, 4, 4), np.uint8),
        tuple(f"{grey}-{i}" for i in range(count)),
    )


def test_half_of_a_batch_is_new_and_instruments_share_the_other_half_evenly() -> None:
    past = {"A": arrays(20, 1), "C": arrays(2, 3)}
    sources = Replay(ReplaySettings()).mixture("B", arrays(40, 2), past)
    images = Sampler(sources, 16, 0).batch(3).image
    assert np.bincount(images[:, 0, 0, 0]).tolist() == [0, 4, 8, 4]


def test_earlier_exemplars_of_the_new_instrument_are_rehearsed_too() -> None:
    sources = Replay(ReplaySettings()).mixture("B", arrays(40, 2), {"B": arrays(5, 1)})
    assert [(source.name, source.share) for source in sources] == [("B", 0.5), ("B (memory)", 0.5)]


@pytest.mark.parametrize("past", [{}, {"A": arrays(5, 1)}])
def test_a_share_of_one_is_fine_tuning(past: dict[str, Arrays]) -> None:
    sources = Replay(ReplaySettings(new_share=1)).mixture("B", arrays(3, 2), past)
    assert [(source.name, source.share) for source in sources] == [("B", 1.0)]
