from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import Log, discs

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.memory.sampler import Sampler, Source
from parfocal.objectives.segment import Segment
from parfocal.preprocessing.shards import Arrays
from parfocal.training.config import TrainConfig
from parfocal.training.engine import fit
from parfocal.training.normalization import weights_of
from parfocal.training.state import FitResult
from parfocal.training.validation import dice_by_instrument

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
        Segment(config.loss),
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
    assert set(log.logged[5]) == {f"disc/{name}" for name in ("loss", "learning_rate", "dice/a", "dice/b", "score")}
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
    again = dice_by_instrument(model.to(memory_format=torch.channels_last), VALIDATION)
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
