from math import log

import pytest
import torch
from objectives_kit import Calls, always, batch

from parfocal.core.errors import UsageError
from parfocal.objectives import MAIN, UNKNOWN, losses
from parfocal.objectives.adversarial import CRITIC, Adversarial, AdversarialSettings

# Two pictures of 0.5, one all object, one all background; the network says 0.75 everywhere.
TARGET = torch.stack([torch.ones(16, 16), torch.zeros(16, 16)]).to(torch.uint8)
BATCH = batch(torch.full((2, 3, 16, 16), 0.5), TARGET)
SAYS = log(3)


def area_critic(slope: float) -> Calls:
    """`slope` times the mean of the mask, which is the last channel: of two even masks, exactly that steep."""
    return Calls(lambda x: slope * x[:, -1:].mean((2, 3)))


def test_the_generator_adds_the_distance_of_the_critics_means_to_the_supervised_loss() -> None:
    objective = Adversarial(AdversarialSettings(weight=2.0), "bce")
    total, parts = objective.loss(MAIN, {MAIN: always(SAYS), CRITIC: area_critic(3.0)}, BATCH)
    cross_entropy = -(log(0.75) + log(0.25)) / 2
    apart = 3.0 * abs(0.75 - (1 + 0) / 2)
    assert parts["bce"].item() == pytest.approx(cross_entropy)
    assert parts["adversarial"].item() == pytest.approx(apart)
    assert total.item() == pytest.approx(cross_entropy + 2 * apart)


@pytest.mark.parametrize(("slope", "excess"), [(3.0, 2.0), (1.0, 0.0), (0.5, 0.0), (-3.0, 2.0)])
def test_the_critic_widens_the_distance_and_pays_for_being_steeper_than_one(slope: float, excess: float) -> None:
    objective = Adversarial(AdversarialSettings(penalty=10.0))
    total, parts = objective.loss(CRITIC, {MAIN: always(SAYS), CRITIC: area_critic(slope)}, BATCH)
    distance = slope * (0.5 - 0.75)
    assert parts["distance"].item() == pytest.approx(distance)
    assert parts["penalty"].item() == pytest.approx(excess**2, abs=1e-5)
    assert total.item() == pytest.approx(10 * excess**2 - distance, abs=1e-4)


def test_a_critic_trained_against_a_fixed_generator_finds_the_distance() -> None:
    objective = Adversarial(AdversarialSettings(sees="mask"))
    bright = batch(BATCH.images, torch.ones(2, 16, 16, dtype=torch.uint8))  # every truth is 0.25 above every fake
    critic = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(1, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        total, parts = objective.loss(CRITIC, {MAIN: always(SAYS), CRITIC: critic}, bright)
        total.backward()
        optimizer.step()
    assert parts["distance"].item() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize(("sees", "channels"), [("mask", 1), ("product", 3), ("concat", 4)])
def test_what_the_critic_sees(sees: str, channels: int) -> None:
    objective = Adversarial(AdversarialSettings.parse({"sees": sees}))
    critic = area_critic(1.0)
    objective.loss(MAIN, {MAIN: always(SAYS), CRITIC: critic}, BATCH)
    assert objective.networks()[CRITIC].parameters["in_channels"] == channels
    (seen,) = critic.seen
    assert seen.shape == (4, channels, 16, 16)  # two fakes, then two truths
    mask = torch.tensor([0.75, 0.75, 1.0, 0.0])
    assert torch.allclose(seen[:, -1].mean((1, 2)), mask * 0.5 if sees == "product" else mask)
    if sees == "concat":
        assert torch.equal(seen[:, :3], BATCH.images.repeat(2, 1, 1, 1))


def test_what_nobody_labelled_is_empty_in_fake_and_truth() -> None:
    target = TARGET.clone()
    target[:, :8] = UNKNOWN
    critic = area_critic(1.0)
    partly = batch(BATCH.images, target)
    Adversarial(AdversarialSettings()).loss(MAIN, {MAIN: always(SAYS), CRITIC: critic}, partly)
    assert not critic.seen[0][:, -1, :8].any()
    assert critic.seen[0][:2, -1, 8:].mean().item() == pytest.approx(0.75)


def test_a_patch_critics_map_is_averaged_and_a_weight_of_nothing_asks_no_critic() -> None:
    patches = Calls(lambda x: x[:, -1:, ::4, ::4])
    _, parts = Adversarial(AdversarialSettings(critic="patch")).loss(MAIN, {MAIN: always(SAYS), CRITIC: patches}, BATCH)
    assert parts["adversarial"].item() == pytest.approx(0.25)
    plain, parts = Adversarial(AdversarialSettings(weight=0)).loss(MAIN, {MAIN: always(SAYS)}, BATCH)
    assert plain.item() == pytest.approx(losses.supervised("bce_dice", always(SAYS)(BATCH.images), TARGET)[0].item())
    assert "adversarial" not in parts


def test_several_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="one structure"):
        Adversarial(AdversarialSettings(), "cross_entropy")
