import numpy as np
import pytest

from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.types import Slice
from parfocal.memory.rows import concatenate, take
from parfocal.memory.sampler import Sampler, Source
from parfocal.memory.stack_sampler import StackSampler, stacked
from parfocal.preprocessing.shards import UNKNOWN, Arrays


def volume(name: str, slices: int, first: int = 0, size: int = 8) -> Arrays:
    """Slices that carry their number in every pixel."""
    numbers = np.arange(first, first + slices, dtype=np.uint8)
    image = np.broadcast_to(numbers[:, None, None, None], (slices, size, size, 3)).copy()
    cases = tuple(f"{name}-{i}" for i in range(slices))
    return Arrays(
        image, np.ones((slices, size, size), np.uint8), cases, slices=tuple(Slice(name, i) for i in range(slices))
    )


def shuffled(arrays: Arrays) -> Arrays:
    return take(arrays, np.random.default_rng(0).permutation(len(arrays)).tolist())


def sampler(arrays: Arrays, augment: AugmentConfig | None = None, batch: int = 4) -> Sampler:
    return stacked(Sampler([Source("a", arrays, 1.0)], batch, seed=1, augment=augment), 4)


def test_a_network_of_pictures_keeps_its_sampler() -> None:
    plain = Sampler([Source("a", volume("v", 5), 1.0)], 2, seed=0)
    assert stacked(plain, 0) is plain


def test_a_stack_is_neighbouring_slices_of_one_volume_whatever_the_order_of_the_rows() -> None:
    arrays = shuffled(concatenate([volume("v", 9), volume("w", 7, 100)]))
    made = sampler(arrays)
    seen = []
    for step in range(4):
        image, mask, points = made.batch(step)
        assert (image.shape, mask.shape) == ((4, 4, 8, 8, 3), (4, 4, 8, 8))
        assert (mask == 1).all()
        assert np.isnan(points).all()
        for stack in image[..., 0, 0, 0].astype(int).tolist():
            assert stack == list(range(stack[0], stack[0] + 4))
            seen.append(stack[0])
    # 16 slices, each once: the middles 0..9 of v are clamped to the starts 0..5, those of w to 100..103
    assert sorted(seen) == [0, 0, 0, 1, 2, 3, 4, 5, 5, 100, 100, 100, 101, 102, 103, 103]


def test_places_without_a_slice_have_an_unknown_mask() -> None:
    image, mask, _ = sampler(volume("v", 2, 10)).batch(0)
    assert image[0, :, 0, 0, 0].tolist() == [10, 11, 11, 11]
    assert (mask[:, :2] == 1).all()
    assert (mask[:, 2:] == UNKNOWN).all()


def test_all_slices_of_a_stack_get_one_change_and_stacks_get_their_own() -> None:
    one = volume("v", 4, size=32)
    rng = np.random.default_rng(0)
    same = rng.integers(0, 255, (32, 32, 3), np.uint8)
    arrays = Arrays(np.stack([same] * 4), one.mask, one.case_ids, slices=one.slices)
    image, mask, _ = sampler(arrays, AugmentConfig()).batch(0)
    for stack in (*image, *mask):
        assert (stack == stack[0]).all()
    assert not (image[0] == image[1]).all()


def test_a_batch_is_divided_among_ranks_and_what_it_depends_on_is_said() -> None:
    made = sampler(volume("v", 9), AugmentConfig())
    whole = made.batch(3)
    parts = [made.batch(3, rank, 2) for rank in range(2)]
    assert np.array_equal(whole.image[0::2], parts[0].image)
    assert np.array_equal(whole.image[1::2], parts[1].image)
    assert isinstance(made, StackSampler)
    assert made.describe()["depth"] == 4
    with pytest.raises(Exception, match="multiple of 3"):
        made.batch(0, 0, 3)
