"""Unknown instruments: far cases are grouped, and a group keeps its id and its name."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.core.types import Observation
from parfocal.drift.novelty import Candidate, NoveltyConfig, group
from parfocal.drift.reference import DriftConfig, Reference, fit

SETTINGS = NoveltyConfig(size=8, apart=1.5)
WHERE = {"A": 0.0, "B": 6.0, "X": -8.0, "Y": 15.0}
"""A and B are known."""


def cases(
    name: str, count: int, first: int = 0, *, scatter: float = 1.0, declared: str | None = None
) -> list[Observation]:
    rng = np.random.default_rng([ord(name), first])
    mixing = np.random.default_rng(7).normal(size=(4, 30))
    rows = (rng.normal(size=(count, 4)) @ mixing + rng.normal(size=(count, 30))) * scatter + WHERE[name]
    return [
        Observation(f"{name}{first + i:04d}", "t", declared, "", "", 0, float(first + i), tuple(row), {}, {})
        for i, row in enumerate(rows.tolist())
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    config = DriftConfig(streams=("appearance",), arl0=500)
    return fit({name: cases(name, 90, 5000) for name in "AB"}, config, extractor="x", seed=0)


def named(found: tuple[Candidate, ...], letter: str) -> Candidate:
    [one] = [each for each in found if sum(id_[0] == letter for id_ in each.members) > len(each.members) / 2]
    return one


def test_two_unknown_cameras_among_known_ones_are_two_candidates(reference: Reference) -> None:
    seen = [*cases("A", 60), *cases("X", 25), *cases("B", 30), *cases("Y", 12)]
    found = group(seen, reference, SETTINGS)
    assert [len(one.members) for one in found] == [25, 12]
    assert all({id_[0] for id_ in one.members} == {letter} for one, letter in zip(found, "XY", strict=True))
    assert all(one.tightness == pytest.approx(1.0, abs=0.35) for one in found)
    assert all(set(one.examples) <= set(one.members) for one in found)
    assert len(found[0].examples) == 4


def test_known_cameras_and_few_or_scattered_cases_are_no_candidate(reference: Reference) -> None:
    assert group(cases("A", 200), reference, SETTINGS) == ()
    assert group(cases("X", 7), reference, SETTINGS) == ()
    assert group(cases("X", 30, scatter=12.0), reference, SETTINGS) == ()
    assert group([], reference, SETTINGS) == ()
    assert group(cases("X", 30, declared="A"), reference, SETTINGS) == (), "a known instrument's drift is its own"
    assert group(cases("X", 30, declared="new"), reference, SETTINGS)


def test_a_case_without_an_embedding_is_in_no_group(reference: Reference) -> None:
    seen = [*cases("X", 12), *(replace(one, embedding=()) for one in cases("X", 30, 100))]
    [found] = group(seen, reference, SETTINGS)
    assert len(found.members) == 12


def test_ids_and_names_stay_while_cases_arrive(reference: Reference) -> None:
    early = [*cases("X", 12), *cases("Y", 20)]
    first = group(early, reference, SETTINGS)
    first = tuple(replace(one, name="Clinic Nord") if one is named(first, "X") else one for one in first)
    seen = [*early, *cases("X", 60, 300), *cases("Y", 5, 300)]
    later = group(seen[::-1], reference, SETTINGS, first)
    assert len(later) == 2
    assert (named(later, "X").id, named(later, "X").name) == (named(first, "X").id, "Clinic Nord")
    assert named(later, "Y").id == named(first, "Y").id
    assert later[0].members == tuple(one.id for one in seen if one.id[0] == "X")
    assert group(seen, reference, SETTINGS, first) == later, "the order in which they are given is nothing"


def test_what_a_person_merged_stays_one_and_what_nobody_touched_may_split(reference: Reference) -> None:
    seen = [*cases("X", 20), *cases("Y", 12)]
    found = group(seen, reference, SETTINGS)
    one, other = named(found, "X"), named(found, "Y")
    whole = replace(one, members=one.members + other.members, by_hand=True)
    more = [*seen, *cases("X", 10, 400), *cases("Y", 10, 400)]
    [still] = group(more, reference, SETTINGS, (whole,))
    assert (still.id, len(still.members)) == (one.id, 52)
    untouched = group(more, reference, SETTINGS, (replace(whole, by_hand=False),))
    assert len(untouched) == 2
    assert untouched[0].id == one.id


def test_without_appearance_nothing_is_said() -> None:
    nothing = fit({}, DriftConfig(), extractor="x", seed=0)
    assert group(cases("X", 30), nothing, SETTINGS) == ()
