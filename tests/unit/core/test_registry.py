import pytest

from parfocal.core.errors import UsageError
from parfocal.core.registry import Family

FAMILY = Family("readers", {"folder": "json:loads", "phantom": "json:dumps"})


def test_a_member_is_imported_when_it_is_loaded() -> None:
    import json

    assert FAMILY.load("folder") is json.loads
    assert list(FAMILY) == ["folder", "phantom"]


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'phantom'"):
        FAMILY.load("phantoms")


def test_an_unlike_name_says_how_to_add_one() -> None:
    with pytest.raises(UsageError, match=r"entry point in the group parfocal\.readers"):
        FAMILY.load("zzz")


def test_other_packages_add_members_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint("theirs", "json:dump", group)] if group == "parfocal.readers" else []

    monkeypatch.setattr("parfocal.core.registry.entry_points", found)
    import json

    assert FAMILY.load("theirs") is json.dump
    assert list(FAMILY) == ["folder", "phantom", "theirs"]
