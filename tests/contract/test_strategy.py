"""What every strategy promises (`parfocal.strategies.Strategy`); being in the table covers a new member."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import objectives_kit
import pytest
import torch

from parfocal import models
from parfocal.memory.sampler import Sampler
from parfocal.objectives import MAIN, Batch
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import FAMILY, Champion, Finished, FinishTools, Strategy, StrategyConfig, Weights, build
from parfocal.training import batches


def arrays(count: int, prefix: str) -> Arrays:
    rng = np.random.default_rng(count)
    image = rng.integers(0, 256, (count, 16, 16, 3), np.uint8)
    return Arrays(image, (image[..., 0] > 127).astype(np.uint8), tuple(f"{prefix}{i}" for i in range(count)))


def weights(seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "norm.running_var": torch.rand(4, generator=generator) + 0.5,
        "norm.num_batches_tracked": torch.tensor(10 * seed),
    }


def tools() -> FinishTools:
    """Statistics that are one, and a score that falls with the norm of the weights."""

    def recompute(given: Weights) -> Weights:
        return {**given, "norm.running_var": torch.ones_like(given["norm.running_var"])}

    def score(given: Weights) -> dict[str, float]:
        norm = float(given["conv.weight"].norm())
        return {"A": 1 / (1 + norm), "B": 1 / (2 + norm)}

    return FinishTools(recompute, score)


@pytest.fixture(params=list(FAMILY))
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return build(StrategyConfig(name=request.param))


PASTS = [{}, {"A": arrays(5, "a")}, {"A": arrays(5, "a"), "C": arrays(1, "c")}, {"B": arrays(3, "b")}]


@pytest.mark.parametrize("past", PASTS)
def test_batches_are_filled_and_always_hold_new_pictures(strategy: Strategy, past: dict[str, Arrays]) -> None:
    new = arrays(7, "new")
    sources = strategy.mixture("B", new, past)
    assert sum(source.share for source in sources) == pytest.approx(1)
    assert all(len(source.arrays) and source.share > 0 for source in sources)
    assert len({source.name for source in sources}) == len(sources)
    assert sources[0].name == "B"
    assert sources[0].arrays is new
    images = Sampler(sources, 8, 0).batch(0).image
    assert images.shape == (8, 16, 16, 3)


def test_an_instrument_whose_exemplars_were_purged_does_not_break_it(strategy: Strategy) -> None:
    sources = strategy.mixture("B", arrays(7, "new"), {"A": arrays(0, "a")})
    assert [source.name for source in sources] == ["B"]


def finish(strategy: Strategy) -> Finished:
    return strategy.finish(weights(1), weights(2), tools())


BASE = Segment(SegmentSettings())


def network() -> torch.nn.Module:
    small = {"depth": 1, "width": 3, "increment": 1.0, "dropout": 0.0}
    return models.build("unet", small, seed=3).eval()


def champion(**changes: object) -> Champion:
    """Of A and B; it has learned B last."""

    def cases(some: Arrays) -> Iterator[Batch]:
        for row in range(len(some)):
            yield Batch(
                batches.to_input(some.image[row : row + 1], torch.device("cpu")),
                torch.from_numpy(some.mask[row : row + 1]),
                torch.full((1, 2), torch.nan),
                np.random.default_rng(row),
            )

    exemplars = {"A": arrays(3, "a"), "B": arrays(2, "b")}
    logits = {name: np.ones((len(one), 1, 16, 16), np.float16) for name, one in exemplars.items()}
    made = Champion(network(), "B", exemplars, cases, batches.to_input, logits)
    return replace(made, **changes)  # type: ignore[arg-type]


def told(strategy: Strategy, given: Champion) -> Champion:
    return replace(given, carried=strategy.carry(BASE, given))


def test_what_is_minimised_is_at_least_the_supervised_loss_and_can_be_learned_from(strategy: Strategy) -> None:
    objective = strategy.objective(BASE, told(strategy, champion()))
    model = network().train()
    strategy.prepare(model)
    total, parts = objective.loss(MAIN, {MAIN: model}, objectives_kit.batch(side=16))
    plain, _ = BASE.loss(MAIN, {MAIN: network().train()}, objectives_kit.batch(side=16))
    added = sum(float(value) for name, value in parts.items() if name not in _SUPERVISED)
    assert float(total.detach()) == pytest.approx(float(plain.detach()) + added)
    total.backward()
    learning = [p for p in model.parameters() if p.requires_grad]
    assert learning
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learning)


_SUPERVISED = {"bce", "soft_dice"}


def test_scores_and_networks_are_the_supervised_ones(strategy: Strategy) -> None:
    objective, batch = strategy.objective(BASE, told(strategy, champion())), objectives_kit.batch(side=16)
    assert (objective.score_name, objective.inputs, objective.outputs) == ("dice", 0, "mask")
    assert objective.networks() == {}
    assert objective.players() == BASE.players()
    networks = {MAIN: network()}
    np.testing.assert_array_equal(objective.score(networks, batch), BASE.score(networks, batch))


def test_the_champion_is_left_as_it_was(strategy: Strategy) -> None:
    given, made = champion(), network()
    objective = strategy.objective(BASE, told(strategy, given))
    objective.loss(MAIN, {MAIN: network().train()}, objectives_kit.batch(side=16))
    assert not given.network.training
    for (name, value), was in zip(given.network.state_dict().items(), made.state_dict().values(), strict=True):
        assert torch.equal(value, was), name
    assert all(p.requires_grad and p.grad is None for p in given.network.parameters())


def test_a_step_of_the_loss_depends_on_the_batch_alone(strategy: Strategy) -> None:
    """What it draws comes from the batch's generator, so that a killed training goes on to the same bits."""
    objective = strategy.objective(BASE, told(strategy, champion()))
    model = network().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    losses = []
    for _ in range(2):
        model.load_state_dict(state)
        losses.append(float(objective.loss(MAIN, {MAIN: model}, objectives_kit.batch(side=16))[0]))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("past", PASTS)
def test_statistics_are_of_pictures_that_are_there(strategy: Strategy, past: dict[str, Arrays]) -> None:
    sources = strategy.statistics("B", arrays(7, "new"), past)
    assert sum(source.share for source in sources) == pytest.approx(1)
    assert sources[0].name == "B"
    assert all(len(source.arrays) for source in sources)


def test_what_it_carries_is_numbers_by_name(strategy: Strategy) -> None:
    carried = strategy.carry(BASE, champion())
    assert all(value.dtype is torch.float32 and torch.isfinite(value).all() for value in carried.values())


def test_the_weights_it_ends_with_fit_the_network(strategy: Strategy) -> None:
    finished, after = finish(strategy), weights(2)
    assert list(finished.weights) == list(after)
    for name, tensor in finished.weights.items():
        assert (tensor.shape, tensor.dtype) == (after[name].shape, after[name].dtype)
        assert torch.isfinite(tensor.double()).all()


def test_what_was_tried_is_told_and_the_choice_is_among_it(strategy: Strategy) -> None:
    finished = finish(strategy)
    assert finished.alpha in [candidate.alpha for candidate in finished.candidates]
    assert all(set(candidate.scores) == {"A", "B"} for candidate in finished.candidates)


def test_champion_and_retrained_weights_are_left_as_they_were(strategy: Strategy) -> None:
    before, after = weights(1), weights(2)
    strategy.finish(before, after, tools())
    for given, made in ((before, weights(1)), (after, weights(2))):
        assert all(torch.equal(given[name], made[name]) for name in made)


def test_the_same_training_ends_with_the_same_weights(strategy: Strategy) -> None:
    one, other = finish(strategy), finish(strategy)
    assert (one.alpha, one.candidates) == (other.alpha, other.candidates)
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_nothing_held_out_is_not_an_error(strategy: Strategy) -> None:
    finished = strategy.finish(weights(1), weights(2), FinishTools(tools().recompute, lambda _: {}))
    assert finished.weights.keys() == weights(2).keys()


def test_its_settings_are_part_of_the_run_and_refuse_unknown_keys(strategy: Strategy) -> None:
    name = next(name for name in FAMILY if isinstance(strategy, FAMILY.load(name)))
    config = StrategyConfig(name=name)
    assert StrategyConfig.from_json(config.canonical_json()) == config
    assert set(config.model_extra or {}) == set(strategy.Settings.model_fields)
