"""The split is decided once for a patient, by quota to the last case, and nothing that comes later moves anyone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.core.errors import UsageError
from parfocal.core.types import Case, Split
from parfocal.preprocessing.split import ORDER, Known, SplitConfig, counts, deal, most_cautious, sides, smallest

NAMES = st.text(min_size=1, max_size=12)
PATIENTS = st.sets(NAMES, min_size=0, max_size=60)
QUOTA = (
    st.tuples(st.integers(1, 98), st.integers(1, 98))
    .filter(lambda q: sum(q) < 100)
    .map(lambda q: (q[0], q[1], 100 - sum(q)))
)


def case(patient: str, number: int = 0, *, assisted: bool = False) -> Case:
    name = f"{patient}-{number}"
    return Case(name, "fundus", "A", patient, Path(name), {}, name, assisted=assisted)


@given(st.integers(0, 2000), QUOTA)
def test_quotas_are_exact_to_less_than_one_patient(n: int, quota: tuple[int, int, int]) -> None:
    found = counts(n, quota)
    assert sum(found) == n
    assert all(abs(count - n * percent / 100) < 1 for count, percent in zip(found, quota, strict=True))


def test_the_quotas_of_the_contract() -> None:
    config = SplitConfig()
    assert counts(100, config.initial) == (60, 15, 25)
    assert counts(100, config.new_instrument) == (40, 10, 50)
    assert counts(20, config.new_instrument) == (8, 2, 10)
    assert counts(101, config.initial) == (61, 15, 25)


@given(QUOTA)
def test_the_fewest_patients_that_fill_every_side(quota: tuple[int, int, int]) -> None:
    fewest = smallest(quota)
    assert min(counts(fewest - 1, quota)) == 0
    assert all(min(counts(n, quota)) > 0 for n in range(fewest, fewest + 120))


@given(PATIENTS, QUOTA, st.randoms(use_true_random=False))
def test_dealing_is_exact_and_does_not_depend_on_order(patients: set[str], quota: tuple[int, int, int], random) -> None:
    shuffled = sorted(patients)
    random.shuffle(shuffled)
    dealt = deal(shuffled, quota, "key")
    assert dealt == deal(sorted(patients), quota, "key")
    assert set(dealt) == patients
    found = Counter(dealt.values())
    assert tuple(found[side] for side in ORDER) == counts(len(patients), quota)


def test_the_key_decides_and_so_a_name_alone_does_not() -> None:
    patients = [f"p{i}" for i in range(200)]
    one, other = deal(patients, (40, 10, 50), "one"), deal(patients, (40, 10, 50), "other")
    agreeing = sum(one[p] == other[p] for p in patients) / 200
    assert 0.3 < agreeing < 0.55  # by chance .4^2 + .1^2 + .5^2 = .42


@given(st.lists(st.sets(NAMES, max_size=25), min_size=1, max_size=5))
def test_frozen_under_growth_whatever_arrives_later(experiences: list[set[str]]) -> None:
    config = SplitConfig()
    known: dict[str, Split] = {}
    seen: set[str] = set()
    for number, patients in enumerate(experiences):
        quota = config.new_instrument if number == 0 else config.initial
        seen |= patients
        now = sides([case(p) for p in sorted(seen)], Known(here=known), {}, quota, config.key)
        assert set(now) == seen
        assert all(now[patient] == side for patient, side in known.items())
        new = Counter(side for patient, side in now.items() if patient not in known)
        assert tuple(new[side] for side in ORDER) == counts(len(now) - len(known), quota)
        known = now


@given(PATIENTS, st.dictionaries(NAMES, st.sampled_from(Split), max_size=20))
def test_a_patient_with_many_cases_counts_once_and_has_one_side(patients: set[str], known: dict[str, Split]) -> None:
    quota = (60, 15, 25)
    once = sides([case(p) for p in sorted(patients)], Known(here=known), {}, quota, "key")
    many = [case(p, i) for p in sorted(patients) for i in range(1 + len(p) % 4)]
    assert sides(many, Known(here=known), {}, quota, "key") == once


@given(PATIENTS, st.sets(NAMES, max_size=30))
def test_patients_with_assisted_labels_alone_train_and_do_not_touch_the_deal(
    plain: set[str], assisted: set[str]
) -> None:
    only = assisted - plain
    cases = [case(p) for p in sorted(plain)] + [case(p, 1, assisted=True) for p in sorted(assisted)]
    found = sides(cases, Known(), {}, (40, 10, 50), "key")
    assert {p: found[p] for p in plain} == deal(plain, (40, 10, 50), "key")
    assert all(found[p] is Split.TRAIN for p in only)


def test_what_was_frozen_comes_before_what_the_source_declares_and_that_before_the_deal() -> None:
    known = Known(here={"a": Split.TEST}, elsewhere={"a": Split.TRAIN, "b": Split.VALIDATION})
    declared = {"c-0": "test"}
    found = sides([case(p) for p in "abcd"], known, declared, (98, 1, 1), "key")
    assert found == {"a": Split.TEST, "b": Split.VALIDATION, "c": Split.TEST, "d": Split.TRAIN}


def test_a_frozen_test_patient_stays_there_even_with_nothing_but_assisted_labels() -> None:
    assert sides([case("a", assisted=True)], Known(here={"a": Split.TEST}), {}, (60, 15, 25), "k") == {"a": Split.TEST}


def test_where_other_instruments_disagree_the_side_that_is_trained_on_least_wins() -> None:
    assert most_cautious(Split.TRAIN, Split.TEST) is most_cautious(Split.TEST, Split.VALIDATION) is Split.TEST
    assert most_cautious(None, Split.TRAIN) is Split.TRAIN


@pytest.mark.parametrize("quota", [[60, 15, 20], [100, 0, 0], [110, -5, -5]])
def test_a_quota_that_leaves_a_side_empty_or_does_not_add_up_is_refused(quota: list[int]) -> None:
    with pytest.raises(UsageError, match="initial"):
        SplitConfig.parse({"initial": quota})
