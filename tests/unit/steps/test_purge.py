"""A purge that was killed can be given again."""

from pathlib import Path

import numpy as np

from parfocal.core.manifest import verify
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import Arrays
from parfocal.steps import purge


def memory(folder: Path) -> None:
    image, mask = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8)
    kept = Memory().with_exemplars("A", "disc", Arrays(image, mask, ("a", "b")), {"a": "p", "b": "q"})
    kept.write(folder)


def test_killed_after_it_wrote_beside_the_same_purge_goes_through(tmp_path: Path) -> None:
    place = tmp_path / "memory"
    memory(place)
    memory(tmp_path / "memory-purged")
    (done,) = purge.run([place], patient="p")
    assert done.removed == 1
    verify(place, "memory")
    assert Memory.read(place).arrays("disc")["A"].case_ids == ("b",)
    assert [one.name for one in tmp_path.iterdir()] == ["memory"]
