"""The hash chain finds what was done to the ledger."""

from dataclasses import replace

import pytest

from parfocal.core.errors import DataContractError
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.ledger import canonical, next_entry, verify


def chain(length: int = 4) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for number in range(length):
        last = entries[-1] if entries else None
        entries.append(next_entry(last, f"2026-01-0{number + 1}", "decision", "fundus", str(number), {"n": number}))
    return entries


def test_an_untouched_chain_is_counted() -> None:
    assert verify(chain()) == 4
    assert verify([]) == 0


@pytest.mark.parametrize(
    "change", [{"body": {"n": 9}}, {"time": "2027"}, {"key": "x"}, {"task": "lung"}, {"kind": "promotion"}]
)
def test_a_changed_entry_is_named(change: dict[str, object]) -> None:
    entries = chain()
    entries[1] = replace(entries[1], **change)  # type: ignore[arg-type]
    with pytest.raises(DataContractError, match="entry 2 was changed"):
        verify(entries)


def test_a_changed_entry_with_a_new_hash_breaks_the_next() -> None:
    entries = chain()
    entries[1] = next_entry(entries[0], entries[1].time, "decision", "fundus", "1", {"n": 9})
    with pytest.raises(DataContractError, match="entry 3 does not follow"):
        verify(entries)


def test_a_removed_entry_is_named() -> None:
    entries = chain()
    del entries[2]
    with pytest.raises(DataContractError, match="entry 3 is missing"):
        verify(entries)


def test_fields_cannot_flow_into_one_another() -> None:
    one = next_entry(None, "t", "decision", "ab", "c", {})
    other = next_entry(None, "t", "decision", "a", "bc", {})
    assert one.hash != other.hash


def test_a_body_has_one_text_and_numbers_survive_it() -> None:
    assert canonical({"b": 0.1 + 0.2, "a": "é"}) == '{"a":"é","b":0.30000000000000004}'
    for odd in (float("nan"), object()):
        with pytest.raises(DataContractError, match="cannot go into the ledger"):
            canonical({"x": odd})
