from collections import Counter

import numpy as np
import pytest

from parfocal.augmentation.geometric import AugmentConfig
from parfocal.core.errors import UsageError
from parfocal.memory.sampler import Sampler, Source, apportion
from parfocal.preprocessing.shards import Arrays


def numbered(n: int, first: int = 0) -> Arrays:
    """Pictures that carry their number in every pixel."""
    numbers = np.arange(first, first + n, dtype=np.uint8)
    image = np.broadcast_to(numbers[:, None, None, None], (n, 8, 8, 3)).copy()
    mask = np.broadcast_to((numbers % 2)[:, None, None], (n, 8, 8)).copy()
    return Arrays(image, mask, tuple(f"case-{i}" for i in numbers))


def drawn(sampler: Sampler, step: int, rank: int = 0, world: int = 1) -> list[int]:
    return [int(image[0, 0, 0]) for image in sampler.batch(step, rank, world)[0]]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    sources = [Source("a", numbered(7), 0.5), Source("b", numbered(5, 100), 0.5)]
    one, two = (Sampler(sources, 6, seed=1, augment=AugmentConfig()) for _ in range(2))
    forwards = [one.batch(step) for step in range(6)]
    backwards = [two.batch(step) for step in reversed(range(6))]
    for (image, mask, _), (other_image, other_mask, _) in zip(forwards, reversed(backwards), strict=True):
        assert np.array_equal(image, other_image)
        assert np.array_equal(mask, other_mask)
    assert not np.array_equal(forwards[0][0], Sampler(sources, 6, seed=2, augment=AugmentConfig()).batch(0)[0])


def test_shapes_and_types() -> None:
    image, mask, _ = Sampler([Source("a", numbered(7), 1.0)], 6, seed=1, augment=AugmentConfig()).batch(0)
    assert (image.shape, image.dtype) == ((6, 8, 8, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((6, 8, 8), np.uint8)


def test_no_picture_comes_again_before_all_of_its_source_were_used() -> None:
    sampler = Sampler([Source("a", numbered(10), 0.5), Source("b", numbered(4, 100), 0.5)], 6, seed=0)
    seen = [number for step in range(20) for number in drawn(sampler, step)]
    large = [n for n in seen if n < 100]
    small = [n for n in seen if n >= 100]
    for walked, size in ((large, 10), (small, 4)):
        for start in range(0, len(walked) - size + 1, size):
            assert len(set(walked[start : start + size])) == size
    assert large[:10] != large[10:20]


def test_pictures_keep_their_masks() -> None:
    image, mask, _ = Sampler([Source("a", numbered(9), 1.0)], 9, seed=4).batch(0)
    assert np.array_equal(image[:, 0, 0, 0] % 2, mask[:, 0, 0])


@pytest.mark.parametrize("augment", [None, AugmentConfig()])
def test_ranks_divide_the_batch_that_one_process_would_have_had(augment: AugmentConfig | None) -> None:
    sampler = Sampler([Source("a", numbered(9), 0.5), Source("b", numbered(9, 100), 0.5)], 8, seed=4, augment=augment)
    whole = sampler.batch(3)[0]
    parts = [sampler.batch(3, rank, 2)[0] for rank in range(2)]
    assert np.array_equal(whole[0::2], parts[0])
    assert np.array_equal(whole[1::2], parts[1])


def test_each_rank_sees_the_sources_alike() -> None:
    sampler = Sampler([Source("a", numbered(9), 0.5), Source("b", numbered(9, 100), 0.5)], 8, seed=4)
    for rank in range(2):
        assert Counter(n >= 100 for n in drawn(sampler, 0, rank, 2)) == {True: 2, False: 2}


@pytest.mark.parametrize(
    ("shares", "places", "expected"),
    [
        ((1.0,), 16, (16,)),
        ((0.5, 0.25, 0.25), 16, (8, 4, 4)),
        ((0.5, 0.5), 15, (8, 7)),
        ((0.5, 1 / 6, 1 / 6, 1 / 6), 16, (8, 3, 3, 2)),
        ((0.99, 0.01), 8, (7, 1)),
        ((3.0, 1.0), 8, (6, 2)),
    ],
)
def test_places_go_by_largest_remainder_and_nobody_goes_without(
    shares: tuple[float, ...], places: int, expected: tuple[int, ...]
) -> None:
    assert apportion(shares, places) == expected


def test_what_cannot_be_sampled_is_refused() -> None:
    good = Source("a", numbered(3), 1.0)
    with pytest.raises(UsageError, match="nothing to train on"):
        Sampler([], 4, seed=0)
    with pytest.raises(UsageError, match="no pictures"):
        Sampler([Source("empty", numbered(0), 1.0)], 4, seed=0)
    with pytest.raises(UsageError, match="share is 0"):
        Sampler([Source("a", numbered(3), 0.0)], 4, seed=0)
    with pytest.raises(UsageError, match="no place for 3 sources"):
        Sampler([good, good, good], 2, seed=0)
    with pytest.raises(UsageError, match="divided among 3"):
        Sampler([good], 4, seed=0).batch(0, rank=0, world=3)


def test_its_description_changes_with_what_batches_depend_on() -> None:
    def describe(n: int = 4, share: float = 0.5, seed: int = 0, augment: AugmentConfig | None = None) -> object:
        return Sampler([Source("a", numbered(n), share), Source("b", numbered(3), 0.5)], 8, seed, augment).describe()

    assert describe() == describe()
    others = [describe(n=5), describe(share=1.5), describe(seed=1), describe(augment=AugmentConfig())]
    assert all(other != describe() for other in others)
