"""What every drift stream promises (`parfocal.drift.Stream`); being in the table covers a new member."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import kstest

from parfocal.core.types import Observation
from parfocal.drift import FAMILY, Stream
from parfocal.drift.reference import DriftConfig, Reference, fit

WIDTH = 24
"""Length of the made-up embedding."""


def observations(count: int, seed: int, *, moved: float = 0.0) -> list[Observation]:
    """Cases of one instrument; `moved` standard deviations off in everything that a stream may look at."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(5, WIDTH))
    embeddings = rng.normal(size=(count, 5)) @ mixing + 0.5 * rng.normal(size=(count, WIDTH)) + 3.0 * moved
    noise = rng.normal(size=(count, 9)) + moved
    return [
        Observation(
            id=f"{seed}-{i:04d}",
            task="fundus",
            instrument="A",
            model_version="1",
            reference_id="r",
            seq=i,
            time=float(i),
            embedding=tuple(embeddings[i].tolist()),
            shape={
                "disc.empty": 0.0,
                "disc.area": float(np.exp(-4.0 + 0.2 * noise[i, 4])),
                "disc.circularity": 0.85 + 0.02 * float(noise[i, 5]),
                "disc.components": float(rng.integers(1, 3)),
                "disc.entropy": float(np.exp(-3.0 + 0.2 * noise[i, 6])),
                "disc.probability": 0.9 + 0.02 * float(noise[i, 7]),
                "disc.radius": float(np.exp(-2.3 + 0.1 * noise[i, 0])),
                "disc.x": 0.5 + 0.02 * float(noise[i, 1]),
                "disc.y": 0.5 + 0.02 * float(noise[i, 2]),
            },
            acquisition={
                "width": 512.0,
                "height": 512.0,
                "sharpness": float(np.exp(1.5 + 0.1 * noise[i, 8])),
                "flat": 0.3,
                "model": f"camera {rng.integers(2)}",
                "field.area": 0.75 * float(np.exp(0.02 * noise[i, 3])),
                "field.width": 1.0,
                "field.height": 1.0,
            },
        )
        for i in range(count)
    ]


def blank(observation: Observation) -> Observation:
    """The same case with nothing found in it, and nothing known of its file."""
    return replace(observation, embedding=(), shape={"disc.empty": 1.0}, acquisition={})


@pytest.fixture(params=list(FAMILY), scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stream(name: str) -> Stream:
    made: Stream = FAMILY.load(name)()
    return made


@pytest.fixture(scope="module")
def reference(name: str) -> Reference:
    return fit({"A": observations(800, 1)}, DriftConfig(streams=(name,), arl0=500), extractor="x", seed=0)


def p_values(reference: Reference, name: str, cases: Sequence[Observation]) -> np.ndarray:
    return reference.scorer("A", name).p_values(cases)


def test_it_is_called_what_the_table_calls_it(stream: Stream, name: str) -> None:
    assert stream.name == name
    assert stream.resolution >= 0
    assert 0 <= stream.categories < stream.vectors(observations(1, 0)).shape[1]


def test_a_row_a_case_in_its_order_and_of_its_case_alone(stream: Stream) -> None:
    cases = observations(30, 2)
    rows = stream.vectors(cases)
    assert rows.dtype == np.float64
    assert rows.shape[0] == 30
    assert np.isfinite(rows).all()
    order = np.random.default_rng(0).permutation(30)
    assert np.array_equal(stream.vectors([cases[i] for i in order]), rows[order])
    assert all(np.array_equal(stream.vectors([case])[0], row) for case, row in zip(cases, rows, strict=True))


def test_a_case_that_lacks_what_is_needed_is_a_row_of_nan_and_harms_no_other(stream: Stream) -> None:
    cases = observations(6, 3)
    whole = stream.vectors(cases)
    rows = stream.vectors([*cases[:2], blank(cases[2]), *cases[3:]])
    assert np.isnan(rows[2]).all()
    assert np.array_equal(np.delete(rows, 2, axis=0), np.delete(whole, 2, axis=0))
    alone = stream.vectors([blank(cases[0])], whole.shape[1])
    assert alone.shape == (1, whole.shape[1])
    assert np.isnan(alone).all()
    assert stream.vectors([], whole.shape[1]).shape == (0, whole.shape[1])


def test_larger_is_stranger(reference: Reference, name: str) -> None:
    scorer = reference.scorer("A", name)
    medians = [np.median(scorer.scores(observations(100, 4, moved=moved))) for moved in (0.0, 2.0, 4.0, 8.0)]
    assert all(further > nearer for nearer, further in pairwise(medians))


def test_p_values_of_the_same_instrument_are_uniform(name: str) -> None:
    """Over references too, as the guarantee says: one reference alone is off by its own sampling."""
    found = []
    for seed in range(20):
        made = fit(
            {"A": observations(200, 100 + seed)}, DriftConfig(streams=(name,), arl0=500), extractor="", seed=seed
        )
        found.append(p_values(made, name, observations(30, 200 + seed)))
    p = np.concatenate(found) - np.random.default_rng(0).random(600) / 101  # a p-value stands for a step of 1/101
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_gross_change_has_the_smallest_p_value(reference: Reference, name: str) -> None:
    p = p_values(reference, name, observations(50, 5, moved=25.0))
    assert (p == 1 / (reference.scorer("A", name).calibration_size + 1)).all()


def test_what_cannot_be_measured_is_as_strange_as_can_be(reference: Reference, name: str) -> None:
    p = p_values(reference, name, [blank(observations(1, 6)[0])])
    assert p.tolist() == [1 / (reference.scorer("A", name).calibration_size + 1)]


def test_the_order_of_the_cases_changes_no_p_value(reference: Reference, name: str) -> None:
    cases = observations(60, 7)
    order = np.random.default_rng(1).permutation(60)
    p = p_values(reference, name, cases)
    assert np.array_equal(p_values(reference, name, [cases[i] for i in order]), p[order])
    assert len(np.unique(p)) > 20
