"""Online EWC on cases worked by hand."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from parfocal.core.errors import DataContractError
from parfocal.objectives import MAIN, Batch
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.strategies import Champion
from parfocal.strategies.ewc import EwcSettings, OnlineEwc, fisher, weighted_distance

BASE = Segment(SegmentSettings(), "bce")


class Line(nn.Module):
    """Logit w x + b of the first channel of a picture of one pixel."""

    def __init__(self, w: float, b: float) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.tensor(b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w * x[:, :1] + self.b


def case(x: float, y: int) -> Batch:
    nowhere = torch.full((1, 2), torch.nan)
    return Batch(
        torch.full((1, 3, 1, 1), x), torch.full((1, 1, 1), y, dtype=torch.uint8), nowhere, np.random.default_rng(0)
    )


def test_the_fisher_diagonal_is_the_mean_squared_gradient() -> None:
    """w = 0 and b = 0, so p is one half and dL/dw = (p - y) x, dL/db = p - y.

    x = 1, y = 1: (-1/2, -1/2); x = 3, y = 0: (3/2, 1/2). Means of squares: (1/4 + 9/4) / 2 and (1/4 + 1/4) / 2.
    """
    found = fisher(Line(0.0, 0.0), [case(1.0, 1), case(3.0, 0)], BASE)
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"w": 1.25, "b": 0.25})


def test_squares_are_taken_before_the_mean() -> None:
    """Two cases that pull in opposite directions matter, although the mean of their gradients is 0."""
    found = fisher(Line(0.0, 0.0), [case(1.0, 1), case(1.0, 0)], BASE)
    assert float(found["b"]) == pytest.approx(0.25)


def test_the_distance_weighs_each_weight() -> None:
    """2 (3 - 1)^2 + 0.5 (0 - 2)^2 = 10."""
    assert float(weighted_distance([torch.tensor(3.0), torch.tensor(0.0)], [torch.tensor(1.0), torch.tensor(2.0)],
                                   [torch.tensor(2.0), torch.tensor(0.5)])) == 10.0  # fmt: skip


def pictures(values: list[int]) -> Arrays:
    images = np.repeat(np.array(values, np.uint8), 3).reshape(-1, 1, 1, 3)
    return Arrays(images, np.ones((len(values), 1, 1), np.uint8), tuple(map(str, values)))


def one_by_one(arrays: Arrays) -> Iterator[Batch]:
    for image in arrays.image:
        yield case(float(image[0, 0, 0]), 1)


def champion(**changes: object) -> Champion:
    made = Champion(Line(0.0, 0.0), "B", {"A": pictures([1]), "B": pictures([3])}, one_by_one, lambda x, _: x)  # type: ignore[arg-type,return-value]
    return replace(made, **changes)  # type: ignore[arg-type]


def numbers(found: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items()}


def test_without_an_earlier_increment_all_exemplars_count_and_the_mean_is_one() -> None:
    """A gives (1/4, 1/4), B (9/4, 1/4): their mean is (5/4, 1/4), whose mean is 3/4."""
    assert numbers(OnlineEwc(EwcSettings()).carry(BASE, champion())) == pytest.approx({"w": 5 / 3, "b": 1 / 3})


def test_later_the_newest_instrument_is_added_to_what_is_left() -> None:
    """B alone gives (9/4, 1/4) with mean 5/4, so (1.8, 0.2); and 0.5 (4, 2) is left of the earlier ones."""
    carried = {"w": torch.tensor(4.0), "b": torch.tensor(2.0)}
    found = OnlineEwc(EwcSettings(decay=0.5)).carry(BASE, champion(carried=carried))
    assert numbers(found) == pytest.approx({"w": 3.8, "b": 1.2})


def test_an_instrument_without_exemplars_leaves_what_was_carried() -> None:
    carried = {"w": torch.tensor(4.0), "b": torch.tensor(2.0)}
    found = OnlineEwc(EwcSettings()).carry(BASE, champion(carried=carried, exemplars={"A": pictures([1])}))
    assert numbers(found) == {"w": 4.0, "b": 2.0}


def test_an_empty_memory_is_refused() -> None:
    with pytest.raises(DataContractError, match="its memory is empty"):
        OnlineEwc(EwcSettings()).carry(BASE, champion(exemplars={}))


def test_the_penalty_is_half_lambda_times_the_distance_from_the_champion() -> None:
    """lambda 3, F (2, 0.5), champion (0, 0), network (1, 2): 3/2 (2 + 2) = 6; slopes by w and b are 3 * 2 and 3 * 1."""
    strategy, network = OnlineEwc(EwcSettings(strength=3.0)), Line(1.0, 2.0)
    given = champion(carried={"w": torch.tensor(2.0), "b": torch.tensor(0.5)})
    batch = case(0.0, 1)
    total, parts = strategy.objective(BASE, given).loss(MAIN, {MAIN: network}, batch)
    plain, _ = BASE.loss(MAIN, {MAIN: network}, batch)
    assert float(parts["ewc"]) == pytest.approx(6.0)
    assert float(total - plain) == pytest.approx(6.0)
    slopes = torch.autograd.grad(total - plain, [network.w, network.b])
    assert [float(slope) for slope in slopes] == pytest.approx([6.0, 3.0])
