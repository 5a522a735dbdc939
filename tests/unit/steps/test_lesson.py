"""Every strategy teaches a network, goes on after a stop to the same bits, and leaves what it should in the memory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import training_kit
from learning_kit import Untracked

from parfocal import models, objectives, strategies
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import take
from parfocal.preprocessing.shards import Arrays
from parfocal.steps.config import RunConfig
from parfocal.steps.learning import Learner
from parfocal.steps.lesson import Learned, Lesson, learn
from parfocal.steps.remembering import one_by_one, remember
from parfocal.strategies import FAMILY

SMALL = {"depth": 2, "width": 6, "increment": 1.0, "dropout": 0.2}


class Stopped(BaseException):
    """Not an error that anything catches."""


class Killer:
    """A reporter that ends the run at a step."""

    def __init__(self, at: int | None) -> None:
        self.at, self.done = at, 0
        self.notes: list[str] = []

    def progress(self, stage: str, done: int, total: int) -> None:
        self.done = done
        if done == self.at:
            raise Stopped

    def epoch(self, stage: str, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with running statistics that some pictures have left."""
    folder = tmp_path_factory.mktemp("champion") / "disc"
    spec = models.ModelSpec(name="unet", parameters=SMALL)
    model = models.build("unet", SMALL, seed=1).train()
    with torch.no_grad():
        for seed in range(5):
            model(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))
    models.save(model, spec, folder)
    return folder


def discs(count: int, seed: int, tone: int) -> Arrays:
    made = training_kit.discs(count, seed)
    return Arrays((made.image // 2 + tone).astype(np.uint8), made.mask, made.case_ids)


OLD, NEW = discs(6, 1, 20), discs(9, 2, 90)


def lesson(champion: Path | None, **changes: object) -> Lesson:
    given: dict[str, object] = {
        "name": "disc", "instrument": "B", "new": NEW, "held_out": {"A": discs(3, 3, 20), "B": discs(3, 4, 90)},
        "source": champion, "newest": "A", "past": {"A": OLD}, "datasets": lambda: {"A": discs(12, 5, 20)},
    }  # fmt: skip
    return Lesson(**{**given, **changes})  # type: ignore[arg-type]


def taught(
    champion: Path | None, name: str, checkpoints: Path, *overrides: str, stop: int | None = None, **changes: object
) -> tuple[Learned, Killer, Untracked]:
    config = RunConfig.load(
        overrides=[
            "recipe.size=32", "model.depth=2", "model.width=6", "model.increment=1.0", "retrain.train.steps=6",
            "retrain.train.batch_size=4", "retrain.train.validate_every=3", "retrain.train.checkpoint_every=3",
            "retrain.train.precision=32-true", "retrain.train.learning_rate=0.01",
            f"retrain.strategy.name={name}", *overrides,
        ]
    )  # fmt: skip
    killer, run = Killer(stop), Untracked()
    learner = Learner(config, config.retrain.train, checkpoints, run, killer)
    return learn(lesson(champion, **changes), strategies.build(config.retrain.strategy), learner), killer, run


def same(one: Learned, other: Learned) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", list(FAMILY))
def test_a_stopped_lesson_goes_on_to_the_same_bits(champion: Path, tmp_path: Path, name: str) -> None:
    whole, _, _ = taught(champion, name, tmp_path / "whole")
    if FAMILY.load(name).trains:
        with pytest.raises(Stopped):
            taught(champion, name, tmp_path / "stopped", stop=4)
    again, killer, _ = taught(champion, name, tmp_path / "stopped")
    assert any("goes on from step 3" in note for note in killer.notes) is FAMILY.load(name).trains
    assert same(whole, again)
    assert whole.finished.candidates == again.finished.candidates
    assert {key: value.tobytes() for key, value in whole.carried.items()} == {
        key: value.tobytes() for key, value in again.carried.items()
    }


@pytest.mark.parametrize(("name", "part"), [("ewc", "ewc"), ("lwf", "distillation"), ("derpp", "logits")])
def test_what_a_strategy_adds_to_the_loss_is_logged_and_moves_the_weights(
    champion: Path, tmp_path: Path, name: str, part: str
) -> None:
    plain, _, _ = taught(champion, "finetune" if name != "derpp" else "replay", tmp_path / "plain",
                         "retrain.strategy.interpolation=[1.0]")  # fmt: skip
    added, _, run = taught(champion, name, tmp_path / "added", "retrain.strategy.interpolation=[1.0]")
    assert run.logged[f"disc/loss/{part}"] > 0
    assert not same(plain, added)


def test_weights_that_matter_stay_nearer_when_they_are_held(champion: Path, tmp_path: Path) -> None:
    start = models.load(champion)

    def distance(strength: float) -> float:
        learned, _, _ = taught(
            champion, "ewc", tmp_path / str(strength), f"retrain.strategy.strength={strength}",
            "retrain.strategy.interpolation=[1.0]", "retrain.train.steps=12", held_out={},
        )  # fmt: skip
        weights = dict(learned.model.named_parameters())
        return sum(
            float((torch.from_numpy(learned.carried[name]) * (weights[name] - was).square()).sum().detach())
            for name, was in start.named_parameters()
        )

    assert distance(10.0) < 0.5 * distance(0.0)


def test_instrument_norms_leave_every_convolution_and_only_the_new_instrument_is_validated(
    champion: Path, tmp_path: Path
) -> None:
    learned, _, run = taught(champion, "instrument_norm", tmp_path)
    before, after = models.load(champion).state_dict(), learned.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    norms = {name for name, module in learned.model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert moved
    assert {name.rpartition(".")[0] for name in moved} <= norms
    assert "disc/dice/B" in run.logged
    assert "disc/dice/A" not in run.logged
    assert all(p.requires_grad for p in learned.model.parameters())


def test_adapting_changes_statistics_alone_and_reads_no_mask(champion: Path, tmp_path: Path) -> None:
    learned, _, _ = taught(champion, "bn_adapt", tmp_path / "one")
    nobody = Arrays(NEW.image, np.full_like(NEW.mask, 255), NEW.case_ids)
    blind, _, _ = taught(champion, "bn_adapt", tmp_path / "two", new=nobody)
    assert same(learned, blind)
    before, after = models.load(champion).state_dict(), learned.model.state_dict()
    moved = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"running_mean", "running_var", "num_batches_tracked"} or moved == {"running_mean", "running_var"}


def test_joint_training_sees_the_datasets_and_the_others_only_the_memory(champion: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def datasets() -> dict[str, Arrays]:
        asked.append("datasets")
        return {"A": discs(12, 5, 20)}

    for name in ("joint", "replay", "ewc"):
        taught(champion, name, tmp_path / name, "retrain.train.steps=1", datasets=datasets)
        assert asked == (["datasets"] if name == "joint" else []), name
        asked.clear()


def test_kept_logits_are_used_and_missing_ones_are_the_champions(champion: Path, tmp_path: Path) -> None:
    kept = np.full((6, 1, 32, 32), 3.0, np.float16)
    learned, _, _ = taught(champion, "derpp", tmp_path / "kept", logits={"A": kept})
    np.testing.assert_array_equal(learned.logits["A"], kept)
    learned, _, _ = taught(champion, "derpp", tmp_path / "asked")
    with torch.inference_mode():
        image = torch.from_numpy(OLD.image[:1]).permute(0, 3, 1, 2).float() / 255
        said = models.load(champion)(image).half().numpy()
    np.testing.assert_allclose(learned.logits["A"][:1], said, atol=2e-2)


@pytest.mark.parametrize("name", ["ewc", "bn_adapt"])
def test_a_network_that_the_champion_lacks_is_trained_from_nothing(tmp_path: Path, name: str) -> None:
    learned, _, run = taught(None, name, tmp_path, past={}, source=None)
    assert learned.finished.alpha == 1.0
    assert "disc/score" in run.logged
    assert learned.carried == {}


def test_cases_come_one_by_one_in_their_order_as_what_is_measured_of_each_is_theirs() -> None:
    many = discs(9, 6, 50)
    found = [(batch.images[0].permute(1, 2, 0) * 255).round().byte().numpy() for batch in one_by_one(many)]
    np.testing.assert_array_equal(np.stack(found), many.image)


def test_patience_waits_for_the_mean_of_all_instruments(champion: Path, tmp_path: Path) -> None:
    """At a rate at which nothing gets better it ends two validations after the first, and both instruments count."""
    settings = ("retrain.train.patience=2", "retrain.train.validate_every=1", "retrain.train.learning_rate=1e-12")
    _, killer, run = taught(champion, "replay", tmp_path, *settings, "retrain.train.steps=30")
    assert killer.done < 30
    scores = [run.logged[f"disc/dice/{name}"] for name in "AB"]
    assert run.logged["disc/score"] == pytest.approx(sum(scores) / 2)


def test_an_exemplar_that_is_drawn_anew_is_kept_with_its_new_mask(champion: Path) -> None:
    """The old mask stayed for ever: of two frames of a patient the one in the memory was taken."""
    config = RunConfig.load(overrides=["retrain.exemplars=20"])
    patients = {case: case for case in NEW.case_ids}
    objective = objectives.build(config.retrain.train.objective, "bce_dice")

    def kept(memory: Memory, arrays: Arrays) -> Memory:
        return remember(memory, "B", "disc", models.load(champion), arrays, patients, config, objective)

    first = kept(Memory(), NEW)
    again = kept(first, replace(take(NEW, [1, 4]), mask=1 - NEW.mask[[1, 4]]))
    found, was = again.arrays("disc")["B"], first.arrays("disc")["B"]
    assert found.case_ids == was.case_ids == NEW.case_ids
    changed = [row for row in range(len(NEW)) if (found.mask[row] != was.mask[row]).any()]
    assert changed == [1, 4]
