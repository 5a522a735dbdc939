"""Later cases go to the group that they are like, to no other, and to nobody where they are like none."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.core.types import Observation
from parfocal.drift.nearness import nearest_group
from parfocal.drift.novelty import NoveltyConfig
from parfocal.drift.reference import DriftConfig, Reference, fit

SETTINGS = NoveltyConfig()
WHERE = {"A": 0.0, "X": 15.0, "Y": -15.0, "Z": 60.0}
"""A is known."""


def cases(name: str, count: int, first: int = 0) -> list[Observation]:
    rng = np.random.default_rng([ord(name), first])
    rows = rng.normal(size=(count, 8)) + WHERE[name]
    sizes = np.exp(0.02 * rng.normal(size=(count, 3)) + WHERE[name] / 20)
    fields = [dict(zip(("field.area", "field.width", "field.height"), row, strict=True)) for row in sizes.tolist()]
    fixed = {"width": 640.0, "height": 480.0, "sharpness": 2.0, "flat": 0.5}
    return [
        Observation(f"{name}{first + i}", "t", None, "", "", 0, 0.0, tuple(row), {}, {**fixed, **field})
        for i, (row, field) in enumerate(zip(rows.tolist(), fields, strict=True))
    ]


@pytest.fixture(scope="module", params=[("appearance",), ("appearance", "acquisition")])
def reference(request: pytest.FixtureRequest) -> Reference:
    config = DriftConfig(streams=request.param, arl0=500)
    return fit({"A": cases("A", 200, 5000)}, config, extractor="x", seed=0)


def test_cases_go_to_the_group_that_they_are_like_and_those_of_known_instruments_to_none(reference: Reference) -> None:
    groups = {"x": cases("X", 30), "y": cases("Y", 12), "empty": []}
    seen = [*cases("X", 4, 100), *cases("Y", 3, 100), *cases("Z", 3), *cases("A", 40)]
    found = nearest_group(seen, reference, SETTINGS, groups)
    assert found == {f"X{100 + i}": "x" for i in range(4)} | {f"Y{100 + i}": "y" for i in range(3)}
    assert nearest_group([], reference, SETTINGS, groups) == {}
    assert nearest_group(seen, reference, SETTINGS, {}) == {}


def test_of_a_group_of_several_parts_the_nearest_part_counts(reference: Reference) -> None:
    """A person merged two cameras: the mean distance to all of their cases is large for every new one."""
    groups = {"both": [*cases("X", 30), *cases("Y", 12)], "single": cases("Z", 1)}
    found = nearest_group([*cases("X", 4, 100), *cases("Y", 3, 100)], reference, SETTINGS, groups)
    assert set(found.values()) == {"both"}
    assert len(found) == 7


def test_what_cannot_be_measured_belongs_nowhere(reference: Reference) -> None:
    blind = [replace(one, embedding=()) for one in cases("X", 5)]
    assert nearest_group(blind, reference, SETTINGS, {"x": cases("X", 30)}) == {}
    assert nearest_group(cases("X", 5), reference, SETTINGS, {"x": blind}) == {}
