import numpy as np
import pytest
import torch
from objectives_kit import Calls, always, batch

from parfocal.augmentation.distortion import DistortionConfig, apply, draw, flipped
from parfocal.objectives import MAIN
from parfocal.objectives.restore import Restore, RestoreSettings

NOTHING = DistortionConfig(non_linear=0, paint=0, shuffle=0, flip=0)


def test_l1_and_l2_of_the_sigmoid_and_the_picture_worked_by_hand() -> None:
    pictures = batch(torch.full((1, 3, 16, 16), 51 / 255))
    grey = {MAIN: always(0.0, 3)}  # restores one half everywhere, so it is wrong by 0.3
    for distance, expected in (("l1", 0.3), ("l2", 0.09)):
        objective = Restore(RestoreSettings(distance=distance, distortion=NOTHING))
        total, parts = objective.loss(MAIN, grey, pictures)
        assert total.item() == pytest.approx(expected)
        assert parts[distance].item() == pytest.approx(expected)
        assert objective.score(grey, pictures).tolist() == [pytest.approx(0.7)]


def test_the_network_sees_the_distorted_pictures_and_is_compared_with_the_flipped_ones() -> None:
    config = DistortionConfig(flip=0.9)
    given = batch(n=4, seed=5)
    pictures = (given.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    drawn = draw(config, np.random.default_rng(5), 4, 32)
    goals = np.stack([flipped(p, d) for p, d in zip(pictures, drawn, strict=True)])
    assert any(d.mirror or d.upend for d in drawn)
    perfect = torch.logit(torch.from_numpy(goals).permute(0, 3, 1, 2) / 255)
    network = Calls(lambda x: perfect)
    total, _ = Restore(RestoreSettings(distortion=config)).loss(MAIN, {MAIN: network}, given)
    assert total.item() == pytest.approx(0, abs=1e-6)
    seen = (network.seen[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(seen, np.stack([apply(p, d) for p, d in zip(pictures, drawn, strict=True)]))
