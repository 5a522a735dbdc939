import numpy as np
import pytest
import torch
from objectives_kit import Calls, always, batch

from parfocal.augmentation import clicks
from parfocal.objectives import MAIN, UNKNOWN, losses
from parfocal.objectives.interact import Interact, InteractSettings

FAITHFUL = InteractSettings(background_share=0.0, begun=0.0)
SEED = 21
"""Draws, for six pictures, numbers of clicks from 1 to 5."""
BATCH = batch(n=6, side=16)  # a square of 4 x 4 in each
MASK = (BATCH.target[0] == 1).numpy()


def upper(x: torch.Tensor) -> torch.Tensor:
    """Says the square's upper half, and one pixel too many at the left."""
    answer = torch.full((16, 16), -2.0)
    answer[4:6, 4:8] = 2.0
    answer[4, 3] = 2.0
    return answer.expand(len(x), 1, 16, 16)


def counts(n: int = 6, most: int = 5) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    rng.random(n)
    return rng.integers(1, most, n, endpoint=True)


def test_the_input_is_the_picture_two_click_maps_and_the_previous_probability() -> None:
    network = Calls(upper)
    Interact(FAITHFUL).loss(MAIN, {MAIN: network}, batch(n=6, side=16, seed=SEED))
    final, drawn = network.seen[-1], counts()
    assert set(drawn) >= {1, 2, 3}
    assert final.shape == (6, 6, 16, 16)
    assert torch.equal(final[:, :3], BATCH.images)
    first, second = clicks.first(MASK), clicks.following(MASK, upper(final)[0, 0].numpy() > 0)
    assert second is not None
    assert (first.object, second.object, second.row) == (True, True, 6)
    for seen, count in zip(final, drawn, strict=True):
        # The network never learns, so every later click is the second one again.
        made = [first, second][:count]
        assert np.allclose(seen[3:5].numpy(), clicks.encode(made, 16, 16))
        before = torch.sigmoid(upper(final)[0, 0]) if count > 1 else torch.zeros(16, 16)
        assert torch.allclose(seen[5], before)


def test_it_clicks_in_prediction_mode_and_the_last_pass_alone_trains() -> None:
    network = Calls(upper)
    total, parts = Interact(FAITHFUL).loss(MAIN, {MAIN: network}, batch(n=6, side=16, seed=SEED))
    drawn = counts()
    assert [len(seen) for seen in network.seen] == [int((drawn > k).sum()) for k in range(1, drawn.max())] + [6]
    assert network.modes == [(False, False)] * (drawn.max() - 1) + [(True, True)]
    assert parts["clicks"].item() == pytest.approx(drawn.mean())
    expected, _ = losses.supervised("bce_dice", upper(BATCH.images), BATCH.target)
    assert total.item() == pytest.approx(expected.item())


def test_one_to_five_clicks_are_equally_often_and_the_limit_is_a_setting() -> None:
    many = batch(n=500, side=8, seed=3)
    network = always(-3.0)
    _, parts = Interact(FAITHFUL).loss(MAIN, {MAIN: network}, many)
    assert parts["clicks"].item() == pytest.approx(3, abs=0.2)
    assert [len(seen) / 500 for seen in network.seen] == pytest.approx([0.8, 0.6, 0.4, 0.2, 1], abs=0.06)
    network = always(-3.0)
    Interact(InteractSettings(max_clicks=1, begun=0.0)).loss(MAIN, {MAIN: network}, many)
    assert len(network.seen) == 1


def test_a_right_answer_ends_the_dialogue() -> None:
    right = Calls(lambda x: (BATCH.target[: len(x), None].float() - 0.5) * 9)
    _, parts = Interact(FAITHFUL).loss(MAIN, {MAIN: right}, BATCH)
    assert parts["clicks"].item() == 1
    assert len(right.seen) == 2
    assert not right.seen[-1][:, 5].any()


def test_a_truth_turned_to_background_gets_background_clicks_alone() -> None:
    network = always(3.0)
    total, _ = Interact(InteractSettings(background_share=1.0, begun=0.0), "bce").loss(MAIN, {MAIN: network}, BATCH)
    assert total.item() == pytest.approx(np.log1p(np.exp(3.0)))
    assert not network.seen[-1][:, 3].any()
    assert network.seen[-1][:, 4].flatten(1).amax(1).tolist() == [1.0] * 6
    assert BATCH.target.any()


def test_background_share_is_the_part_of_the_pictures() -> None:
    network = always(-3.0)
    Interact(InteractSettings(background_share=0.3, begun=0.0)).loss(MAIN, {MAIN: network}, batch(n=500, side=8))
    assert (network.seen[-1][:, 3].flatten(1).amax(1) == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_the_previous_answer_can_be_left_out() -> None:
    network = Calls(upper)
    Interact(InteractSettings(previous=False)).loss(MAIN, {MAIN: network}, BATCH)
    assert not any(seen[:, 5].any() for seen in network.seen)


def test_a_dialogue_that_begins_with_a_wrong_mask_begins_with_its_correction() -> None:
    network = Calls(upper)
    settings = InteractSettings(background_share=0.0, begun=1.0, max_clicks=1)
    Interact(settings).loss(MAIN, {MAIN: network}, batch(n=6, side=16, seed=SEED))
    (seen,) = network.seen
    shown = seen[:, 5].numpy() > 0.5
    assert {tuple(np.unique(one)) for one in seen[:, 5].numpy()} == {(0.0, 1.0)}
    assert len({one.tobytes() for one in shown}) > 1, "each is wrong in its own way"
    for one, maps in zip(shown, seen[:, 3:5].numpy(), strict=True):
        correction = clicks.following(MASK, one)
        assert np.allclose(maps, clicks.encode([] if correction is None else [correction], 16, 16))


def test_after_the_correction_it_goes_on_with_the_networks_answer() -> None:
    network = Calls(upper)
    settings = InteractSettings(background_share=0.0, begun=1.0, max_clicks=5)
    Interact(settings).loss(MAIN, {MAIN: network}, batch(n=6, side=16, seed=SEED))
    long = [seen for seen, count in zip(network.seen[-1], counts(), strict=True) if count > 1]
    assert long
    assert all(torch.allclose(seen[5], torch.sigmoid(upper(seen[None])[0, 0])) for seen in long)


def test_begun_is_the_part_of_the_dialogues_and_nothing_where_no_mask_is_seen() -> None:
    network = always(-3.0)
    settings = InteractSettings(background_share=0.0, begun=0.3, max_clicks=1)
    Interact(settings).loss(MAIN, {MAIN: network}, batch(n=500, side=16))
    assert (network.seen[-1][:, 5].flatten(1).amax(1) == 1).float().mean().item() == pytest.approx(0.3, abs=0.06)
    network = always(-3.0)
    Interact(InteractSettings(begun=1.0, previous=False)).loss(MAIN, {MAIN: network}, BATCH)
    assert not network.seen[-1][:, 5].any()


def test_of_a_truth_turned_to_background_the_mask_that_was_there_is_wrong_as_a_whole() -> None:
    network = always(-3.0)
    settings = InteractSettings(background_share=1.0, begun=1.0, max_clicks=1)
    Interact(settings).loss(MAIN, {MAIN: network}, BATCH)
    (seen,) = network.seen
    assert seen[:, 5].flatten(1).amax(1).tolist() == [1.0] * 6
    assert not seen[:, 3].any()
    assert all(((maps == 1) & (shown == 1)).sum() == 1 for maps, shown in zip(seen[:, 4], seen[:, 5], strict=True))


def test_nobody_clicks_on_what_nobody_labelled() -> None:
    target = BATCH.target.clone()
    target[:, :4] = UNKNOWN
    says = torch.full((16, 16), -3.0)
    says[:4] = 3.0  # a large answer, all of it where nothing is known
    network = Calls(lambda x: says.expand(len(x), 1, 16, 16))
    Interact(FAITHFUL).loss(MAIN, {MAIN: network}, batch(BATCH.images, target))
    assert not network.seen[-1][:, 4].any()
    blank = batch(BATCH.images, torch.full_like(target, UNKNOWN))
    total, _ = Interact(FAITHFUL).loss(MAIN, {MAIN: network}, blank)
    assert total.item() == 0


def test_the_score_is_the_dice_with_one_click_and_no_previous_answer() -> None:
    network = Calls(upper)
    scores = Interact(FAITHFUL).score({MAIN: network}, BATCH)
    assert scores.tolist() == pytest.approx([2 * 8 / (9 + 16)] * 6)
    (seen,) = network.seen
    assert np.allclose(seen[0, 3:5].numpy(), clicks.encode([clicks.first(MASK)], 16, 16))
    assert not seen[:, 5].any()
