import pytest

from parfocal.core.errors import UsageError
from parfocal.models.presets import PRESETS
from parfocal.steps.config import RunConfig


@pytest.mark.parametrize("name", PRESETS)
def test_a_papers_network_is_chosen_by_its_name(name: str) -> None:
    assert RunConfig.load(overrides=[f"model.preset={name}"]).model == PRESETS[name]


def test_what_is_said_beside_the_name_counts_and_the_name_itself_is_not_kept() -> None:
    made = RunConfig.load(overrides=["model.preset=paper-002", "model.width=8"])
    assert (made.model.width, made.model.up) == (8, "bilinear")
    assert RunConfig.from_json(made.canonical_json()) == made


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"paper-001-7/64/1\.3"):
        RunConfig.load(overrides=["model.preset=paper-02"])
