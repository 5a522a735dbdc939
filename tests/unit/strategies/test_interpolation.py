import pytest
import torch

from parfocal.core.errors import DataContractError
from parfocal.strategies import Candidate, FinishTools, Weights
from parfocal.strategies.interpolation import between, choose, search


def weights(value: float, seen: int) -> Weights:
    return {"w": torch.full((3,), value), "norm.num_batches_tracked": torch.tensor(seen)}


def test_the_way_between_is_linear_and_counters_are_not_averaged() -> None:
    mixed = between(weights(1.0, 5), weights(3.0, 8), 0.25)
    assert mixed["w"].tolist() == [1.5, 1.5, 1.5]
    assert mixed["norm.num_batches_tracked"].item() == 8


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_are_the_networks_to_the_bit(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ends = [{"w": torch.randn(1000, generator=generator), "n": torch.tensor(k)} for k in (1, 2)]
    mixed = between(*ends, alpha)
    assert all(torch.equal(mixed[name], ends[int(alpha)][name]) for name in mixed)
    mixed["w"].zero_()
    assert ends[int(alpha)]["w"].any(), "the result must not share memory with what it came from"


def test_half_precision_weights_stay_half_precision() -> None:
    before, after = {"w": torch.ones(2, dtype=torch.bfloat16)}, {"w": torch.zeros(2, dtype=torch.bfloat16)}
    assert between(before, after, 0.5)["w"].dtype is torch.bfloat16


@pytest.mark.parametrize("other", [{"v": torch.ones(3)}, {"w": torch.ones(4)}, {"w": torch.ones(3).double()}])
def test_weights_of_another_network_are_refused(other: Weights) -> None:
    with pytest.raises(DataContractError, match="two different networks"):
        between({"w": torch.ones(3)}, other, 0.5)


def candidate(alpha: float, *scores: float) -> Candidate:
    return Candidate(alpha, {str(i): score for i, score in enumerate(scores)})


def test_every_instrument_counts_the_same() -> None:
    assert choose([candidate(0.25, 0.9, 0.5), candidate(0.75, 0.7, 0.8)]).alpha == 0.75


def test_near_equals_are_decided_by_halfway_and_clear_wins_are_not() -> None:
    assert choose([candidate(0.25, 0.9005), candidate(0.5, 0.9), candidate(1.0, 0.9009)]).alpha == 0.5
    assert choose([candidate(0.25, 0.9), candidate(0.5, 0.8), candidate(0.75, 0.9)]).alpha == 0.25
    assert choose([candidate(0.5, 0.9), candidate(1.0, 0.95)]).alpha == 1.0


def test_without_scores_it_goes_halfway() -> None:
    assert choose([Candidate(alpha, {}) for alpha in (0.0, 0.25, 0.5, 1.0)]).alpha == 0.5


def test_statistics_are_recomputed_between_the_ends_and_what_is_scored_is_what_is_returned() -> None:
    recomputed: list[float] = []

    def recompute(given: Weights) -> Weights:
        recomputed.append(float(given["w"][0]))
        return {**given, "w": given["w"] + 100}

    def score(given: Weights) -> dict[str, float]:
        return {"A": 1.0 if float(given["w"][0]) == 101.5 else 0.5}

    finished = search(weights(1.0, 5), weights(3.0, 8), FinishTools(recompute, score), (1.0, 0.25, 0.0, 0.5, 0.25))
    assert recomputed == [1.5, 2.0]
    assert [c.alpha for c in finished.candidates] == [0.0, 0.25, 0.5, 1.0]
    assert (finished.alpha, finished.weights["w"].tolist()) == (0.25, [101.5] * 3)
