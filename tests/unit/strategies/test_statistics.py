"""On which pictures batch-norm statistics are recomputed."""

import numpy as np

from parfocal.preprocessing.shards import Arrays
from parfocal.strategies.base import PlainSettings
from parfocal.strategies.bn_adapt import BnAdapt
from parfocal.strategies.replay import Replay, ReplaySettings


def arrays(count: int) -> Arrays:
    return Arrays(
        np.zeros((count, 4, 4, 3), np.uint8), np.zeros((count, 4, 4), np.uint8), tuple(f"{i}" for i in range(count))
    )


def test_replay_recomputes_on_the_mixed_buffer_and_adaptation_alone_on_the_new_pictures() -> None:
    past = {"A": arrays(5), "C": arrays(3)}
    shares = {source.name: source.share for source in Replay(ReplaySettings()).statistics("B", arrays(9), past)}
    assert shares == {"B": 0.5, "A (memory)": 0.25, "C (memory)": 0.25}
    assert [s.name for s in BnAdapt(PlainSettings()).statistics("B", arrays(9), past)] == ["B"]
