"""Which parts a source is looked at in: a list for a loop of Kubeflow's."""

from __future__ import annotations

from parfocal.core.errors import UsageError
from parfocal.preprocessing.sharding import Shard
from parfocal.steps import preprocess_look
from parfocal.steps.config import RunConfig

MOST = 1000
"""Pods of one loop: every one lists the whole source, so more do not pay."""


def run(shards: int, config: RunConfig) -> list[str]:
    """The parts by number, such as ``1/2`` and ``2/2``: text, since a loop of Kubeflow's hands numbers on as floats.

    Args:
        shards: how many.
        config: read so that what is wrong with it is said once, and not by every part.

    Raises:
        UsageError: less than one, or more than `MOST`; there is no such reader, or the recipe is not for the task.
    """
    preprocess_look.reader(config)
    if not 1 <= shards <= MOST:
        raise UsageError(f"{shards} shards", where="shards", expected=f"1 to {MOST}")
    return [str(Shard(number, shards)) for number in range(1, shards + 1)]
