from math import log

import pytest
import torch
from objectives_kit import Calls, always, batch
from torch import nn

from parfocal.objectives import MAIN, UNKNOWN
from parfocal.objectives.cycle import IMAGE_CRITIC, MASK_CRITIC, TRANSLATOR, Cycle, CycleSettings

# Two pictures of 0.2; the first is all object, nobody labelled the second.
IMAGES = torch.full((2, 3, 8, 8), 0.2)
TARGET = torch.stack([torch.ones(8, 8), torch.full((8, 8), float(UNKNOWN))]).to(torch.uint8)
BATCH = batch(IMAGES, TARGET)
NOBODY = batch(IMAGES, torch.full_like(TARGET, UNKNOWN))
SETTINGS = CycleSettings(supervised=2.0, translated=3.0, adversarial=5.0, cycle=7.0)


def four() -> dict[str, Calls]:
    """Masks are 0.75, images 0.5, the mask critic says 0.25 and the image critic 0.6."""
    return {
        MAIN: always(log(3)),
        TRANSLATOR: always(0.0, 3),
        MASK_CRITIC: always(0.25),
        IMAGE_CRITIC: always(0.6),
    }


def test_the_generators_loss_worked_by_hand() -> None:
    total, parts = Cycle(SETTINGS, "bce").loss("generators", four(), BATCH)
    expected = {
        "bce": -log(0.75),  # of the labelled picture alone
        "translated": 0.3,
        "adversarial_mask": 0.75**2,
        "adversarial_image": 0.4**2,
        "cycle_image": 0.3,
        "cycle_mask": 0.25,
    }
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected)
    weights = {"bce": 2, "translated": 3, "cycle_image": 7, "cycle_mask": 7}
    assert total.item() == pytest.approx(sum(weights.get(name, 5) * value for name, value in expected.items()))


def test_the_critics_loss_worked_by_hand() -> None:
    total, parts = Cycle(SETTINGS).loss("critics", four(), BATCH)
    expected = {"critic_mask": (0.75**2 + 0.25**2) / 2, "critic_image": (0.4**2 + 0.6**2) / 2}
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected)
    assert total.item() == pytest.approx(sum(expected.values()))


def test_who_sees_what() -> None:
    networks = four()
    Cycle(SETTINGS).loss("generators", networks, BATCH)
    made, true = torch.full((2, 1, 8, 8), 0.75), torch.ones(1, 1, 8, 8)
    image, half = BATCH.images, torch.full((1, 3, 8, 8), 0.5)
    sees = {MAIN: [image, half], TRANSLATOR: [made, true], MASK_CRITIC: [made], IMAGE_CRITIC: [half]}
    for name, expected in sees.items():
        assert len(networks[name].seen) == len(expected)
        assert all(torch.allclose(a, b) for a, b in zip(networks[name].seen, expected, strict=True)), name
    networks = four()
    Cycle(SETTINGS).loss("critics", networks, BATCH)
    for name, (real, fake) in {MASK_CRITIC: (true, made), IMAGE_CRITIC: (image, half)}.items():
        assert torch.allclose(networks[name].seen[0], real)
        assert torch.allclose(networks[name].seen[1], fake)
    assert networks[MAIN].modes == [(True, False)]


def test_without_any_mask_the_unlabelled_pictures_still_train_all_four() -> None:
    total, parts = Cycle(SETTINGS, "bce").loss("generators", four(), NOBODY)
    assert total.item() == pytest.approx(5 * 0.75**2 + 7 * 0.3)
    assert parts["cycle_mask"].item() == parts["adversarial_image"].item() == parts["bce"].item() == 0
    _, parts = Cycle(SETTINGS).loss("critics", four(), NOBODY)
    assert parts["critic_mask"].item() == pytest.approx(0.25**2 / 2)
    assert parts["critic_image"].item() == pytest.approx(0.4**2 / 2)


def test_a_mask_with_a_gap_is_supervised_where_it_is_labelled_and_no_example_of_a_mask() -> None:
    target = TARGET.clone()
    target[0, :4] = UNKNOWN
    networks = four()
    _, parts = Cycle(SETTINGS, "bce").loss("generators", networks, batch(IMAGES, target))
    assert parts["bce"].item() == pytest.approx(-log(0.75))
    assert parts["cycle_mask"].item() == 0


@pytest.mark.parametrize("player", ["generators", "critics"])
def test_processes_with_and_without_masks_make_the_same_passes(player: str) -> None:
    """Gradients are averaged among processes, and one that leaves a pass out makes the others wait for ever."""
    some, none = four(), four()
    Cycle(SETTINGS).loss(player, some, BATCH)
    Cycle(SETTINGS).loss(player, none, NOBODY)
    assert {k: len(v.seen) for k, v in some.items()} == {k: len(v.seen) for k, v in none.items()}


def test_made_images_leave_no_trace_in_the_main_networks_statistics() -> None:
    normed = nn.Sequential(nn.BatchNorm2d(3, momentum=1.0), nn.Conv2d(3, 1, 1))
    networks = {**four(), MAIN: normed}
    Cycle(SETTINGS).loss("generators", networks, BATCH)
    Cycle(SETTINGS).loss("critics", networks, BATCH)
    assert normed[0].running_mean.tolist() == pytest.approx([0.2] * 3)  # type: ignore[operator,union-attr]
