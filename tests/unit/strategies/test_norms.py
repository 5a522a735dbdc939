"""The two strategies that are about batch norms, and joint training."""

import numpy as np
import pytest
import torch
from torch import nn

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import FinishTools, Weights
from parfocal.strategies.base import PlainSettings
from parfocal.strategies.bn_adapt import BnAdapt
from parfocal.strategies.instrument_norm import InstrumentNorm
from parfocal.strategies.joint import Joint


def arrays(count: int) -> Arrays:
    return Arrays(
        np.zeros((count, 4, 4, 3), np.uint8), np.zeros((count, 4, 4), np.uint8), tuple(map(str, range(count)))
    )


def test_batch_norms_alone_learn() -> None:
    model = models.build("unet", {"depth": 1, "width": 4, "increment": 1.0})
    InstrumentNorm(PlainSettings()).prepare(model)
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert norms
    assert {id(p) for p in model.parameters() if p.requires_grad} == norms


@pytest.mark.parametrize("strategy", [InstrumentNorm, BnAdapt])
def test_a_network_without_batch_norms_is_refused(strategy: type[InstrumentNorm | BnAdapt]) -> None:
    """Adapting statistics that are not there would give the champion back without a word."""
    model = models.build("unet", {"depth": 1, "width": 4, "increment": 1.0, "batch_norm": False})
    with pytest.raises(UsageError, match="no batch norm") as refused:
        strategy(PlainSettings()).prepare(model)
    assert {InstrumentNorm: "instrument_norm", BnAdapt: "bn_adapt"}[strategy] in str(refused.value.where)


def weights(value: float) -> Weights:
    return {"conv.weight": torch.ones(2), "norm.running_mean": torch.full((2,), value)}


@pytest.mark.parametrize(("interpolation", "helps", "mean"), [((1.0,), False, 7.0), ((0.0, 1.0), False, 0.0),
                                                             ((0.0, 1.0), True, 7.0)])  # fmt: skip
def test_statistics_are_those_of_the_new_pictures_unless_the_champions_are_asked_for_and_better(
    interpolation: tuple[float, ...], helps: bool, mean: float
) -> None:
    tools = FinishTools(
        lambda given: {**given, "norm.running_mean": torch.full((2,), 7.0)},
        lambda given: {"A": 0.9 if helps == (float(given["norm.running_mean"][0]) == 7.0) else 0.1},
    )
    found = BnAdapt(PlainSettings(interpolation=interpolation)).finish(weights(0.0), weights(0.0), tools)
    assert found.weights["norm.running_mean"].tolist() == [mean, mean]
    assert found.weights["conv.weight"].tolist() == [1.0, 1.0]


def test_joint_training_gives_instruments_equal_parts_and_pictures_of_one_instrument_too() -> None:
    """Three instruments; 6 new and 2 earlier pictures of B share its third."""
    sources = Joint(PlainSettings()).mixture("B", arrays(6), {"A": arrays(9), "B": arrays(2), "C": arrays(1)})
    assert {source.name: source.share for source in sources} == pytest.approx(
        {"B": 6 / 24, "A (earlier)": 1 / 3, "B (earlier)": 2 / 24, "C (earlier)": 1 / 3}
    )
