from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import Log, discs

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives import MAIN, Player
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit
from parfocal.training.normalization import weights_of
from parfocal.training.state import FitResult
from parfocal.training.validation import score_by_instrument

VALIDATION = {"a": discs(5, 3), "b": discs(5, 4)}


def settings(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 6, "batch_size": 4, "validate_every": 2, "learning_rate": 3e-3, **changes})


def network(**changes: Any) -> torch.nn.Module:
    return models.build("unet", {"depth": 2, "width": 6, "increment": 1.5, **changes})


def train(
    config: TrainConfig,
    *,
    model: torch.nn.Module | None = None,
    validation: Mapping[str, Arrays] = VALIDATION,
    folder: Path | None = None,
    log: Log | None = None,
) -> FitResult:
    sampler = Sampler([Source("a", discs(9, 1), 1.0)], config.batch_size, config.seed)
    log = log or Log()
    return fit(
        model or network(),
        sampler,
        Segment(SegmentSettings(), config.loss),
        validation,
        config,
        checkpoint=folder,
        reporter=log,
        run=log,
        stage="disc",
    )


def same(one: FitResult, other: FitResult) -> bool:
    return all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


def test_it_learns_what_a_bright_disc_is() -> None:
    config = settings(steps=60, batch_size=8, validate_every=30, learning_rate=0.03)
    result = train(config, model=network(dropout=0.0))
    assert result.best_score > 0.8
    assert result.history[-1]["loss"] < result.history[0]["loss"] / 2


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    one, two, three = train(settings()), train(settings()), train(settings(seed=1))
    assert same(one, two)
    assert one.history == two.history
    assert not same(one, three)


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    train(settings(steps=1))
    assert torch.equal(torch.rand(2), expected)


def test_each_validation_is_told_by_instrument_and_the_last_step_is_one() -> None:
    log = Log()
    result = train(settings(steps=5), log=log)
    assert [entry["step"] for entry in result.history] == [2, 4, 5]
    assert set(log.logged) == {2, 4, 5}
    names = ("loss", "loss/bce", "loss/soft_dice", "learning_rate", "dice/a", "dice/b", "score")
    assert set(log.logged[5]) == {f"disc/{name}" for name in names}
    assert log.logged[5]["disc/loss"] == pytest.approx(
        sum(log.logged[5][f"disc/loss/{n}"] for n in ("bce", "soft_dice"))
    )
    last = result.history[-1]
    assert last["score"] == pytest.approx((last["dice/a"] + last["dice/b"]) / 2)
    assert result.steps_done == 5
    assert result.seconds > 0


def test_the_weights_of_the_best_validation_are_kept() -> None:
    result = train(settings(steps=40, validate_every=5, learning_rate=0.03, schedule="constant"))
    scores = [entry["score"] for entry in result.history]
    assert result.best_score == max(scores)
    model = network()
    model.load_state_dict(result.weights)
    again = score_by_instrument(
        Segment(SegmentSettings()), {MAIN: model.to(memory_format=torch.channels_last)}, VALIDATION
    )
    assert sum(again.values()) / 2 == pytest.approx(result.best_score)


def test_without_validation_pictures_the_last_weights_are_the_result() -> None:
    model = network()
    result = train(settings(), model=model, validation={})
    assert result.best_score != result.best_score
    assert all(torch.equal(value, result.weights[name]) for name, value in weights_of(model).items())


def test_patience_ends_a_training_that_stopped_getting_better(tmp_path: Path) -> None:
    config = settings(steps=50, learning_rate=1e-9, patience=2)
    result = train(config, folder=tmp_path)
    assert result.steps_done == 6  # the first validation is the best; two more are no better
    again = train(config, folder=tmp_path)
    assert again.steps_done == 6
    assert same(result, again)


def test_a_wall_time_budget_becomes_steps_once_and_leaves_no_trace(tmp_path: Path) -> None:
    config = settings(seconds=0.5)
    timed = train(config, folder=tmp_path)
    assert timed.steps_done >= 1
    assert same(timed, train(settings(steps=timed.steps_done)))
    # What is resumed has the number of steps that was found first, whatever the pace is now.
    log = Log()
    resumed = train(config, folder=tmp_path, log=log)
    assert log.notes == [f"disc goes on from step {timed.steps_done} of {timed.steps_done}"]
    assert same(timed, resumed)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 8}, "train.steps"),
        ({"learning_rate": 1e-4}, "train.learning_rate"),
        ({"seed": 2}, "train.seed, training pictures"),
        ({"precision": "32-true"}, "precision"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    train(settings(precision="bf16-mixed"), folder=tmp_path)
    with pytest.raises(UsageError, match=named) as error:
        train(settings(**{"precision": "bf16-mixed", **change}), folder=tmp_path)
    assert "--key" in error.value.next


def test_a_checkpoint_of_other_initial_weights_is_refused(tmp_path: Path) -> None:
    train(settings(), folder=tmp_path)
    with pytest.raises(UsageError, match="initial weights"):
        train(settings(), folder=tmp_path, model=network(dropout=0.0, batch_norm=False))


def test_how_often_checkpoints_are_written_may_change(tmp_path: Path) -> None:
    one = train(settings(checkpoint_every=1), folder=tmp_path)
    assert same(one, train(settings(checkpoint_every=2, checkpoint_seconds=1.0), folder=tmp_path))


def test_a_training_that_diverges_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="diverged") as error:
        train(settings(steps=20, learning_rate=1e30, schedule="constant", precision="32-true"))
    assert "learning_rate" in error.value.next


def test_gradients_are_clipped_when_asked() -> None:
    free, clipped = train(settings()), train(settings(clip=1e-3))
    assert not same(free, clipped)


class Duel:
    """Two players, so small that the numbers can be followed: the critic's mean output is what the other lowers."""

    Settings = SegmentSettings
    score_name, inputs, outputs = "dice", 0, "mask"

    def __init__(self) -> None:
        self.turns: list[tuple[str, bool, bool]] = []

    def networks(self) -> dict[str, models.ModelSpec]:
        return {
            "critic": models.ModelSpec(
                name="unet", parameters={"depth": 1, "width": 4, "increment": 1.0, "in_channels": 1}
            )
        }

    def players(self) -> dict[str, Player]:
        return {"critic": Player(("critic",), 2.0), MAIN: Player((MAIN,))}

    def loss(self, player: str, networks: Any, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        trains = [any(p.requires_grad for p in networks[name].parameters()) for name in ("critic", MAIN)]
        self.turns.append((player, *trains))
        judged = networks["critic"](networks[MAIN](batch.images).sigmoid()).float().mean()
        noise = float(batch.rng.random())
        loss = -judged if player == "critic" else judged + noise
        return loss, {f"{player} judged": judged.detach()}

    def score(self, networks: Any, batch: Any) -> Any:
        return Segment(SegmentSettings()).score(networks, batch)


def test_each_player_learns_in_its_turn_alone_at_its_own_rate(tmp_path: Path) -> None:
    duel, model = Duel(), network()
    config = settings(steps=2, schedule="constant")
    sampler = Sampler([Source("a", discs(9, 1), 1.0)], config.batch_size, config.seed)
    result = fit(model, sampler, duel, VALIDATION, config, checkpoint=None, reporter=Log(), run=Log())
    assert duel.turns == [("critic", True, False), (MAIN, False, True)] * 2
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert set(result.others) == {"critic"}
    assert {"loss/critic judged", "loss/model judged"} <= set(result.history[-1])


def test_a_training_of_two_players_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    def train_duel(steps: int, folder: Path) -> FitResult:
        config = settings(steps=6, checkpoint_every=1, schedule="constant")
        sampler = Sampler([Source("a", discs(9, 1), 1.0)], config.batch_size, config.seed)

        class Stop(Log):
            def progress(self, stage: str, done: int, total: int) -> None:
                if done > steps:
                    raise KeyboardInterrupt

        log = Stop()
        return fit(network(), sampler, Duel(), VALIDATION, config, checkpoint=folder, reporter=log, run=log)

    whole = train_duel(6, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_duel(3, tmp_path / "stopped")
    resumed = train_duel(6, tmp_path / "stopped")
    assert same(whole, resumed)
    assert all(torch.equal(v, resumed.others["critic"][k]) for k, v in whole.others["critic"].items())
    assert whole.history == resumed.history


def test_what_is_frozen_stays_and_all_frozen_is_told() -> None:
    model = network()
    before = weights_of(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(UsageError, match="frozen"):
        train(settings(), model=model)
    head = list(model.parameters())[-1]
    head.requires_grad_(True)
    train(settings(validate_every=6), model=model, validation={})
    changed = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert changed == [name for name, value in model.named_parameters() if value is head]


def test_rmsprop_and_a_plateau_halve_the_rate_when_nothing_gets_better() -> None:
    config = settings(steps=8, optimizer="rmsprop", momentum=0.9, schedule="plateau", plateau=1, learning_rate=1e-12,
                      clip_value=0.1)  # fmt: skip
    rates = [entry["learning_rate"] for entry in train(config).history]
    assert rates == [1e-12, 1e-12, 0.5e-12, 0.25e-12]
