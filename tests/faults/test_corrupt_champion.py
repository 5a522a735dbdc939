"""A bundle damaged under the champion alias is never served, the message names the file, and one can go back."""

from pathlib import Path

import pytest
from promotion_kit import Recorder, better, first, platform, write_bundle, write_evaluation

from parfocal.adapters import Platform
from parfocal.core.errors import DataContractError
from parfocal.core.reporting import Silent
from parfocal.steps import promote
from parfocal.steps.config import RunConfig


@pytest.fixture
def real(tmp_path: Path) -> Platform:
    """Two promotions; a byte of the second's weights is flipped in the registry's storage."""
    one, two = (write_bundle(tmp_path / name, f"weights {name}") for name in ("one", "two"))
    evaluations = {"one": first(one), "two": better(two, one)}
    found = platform(tmp_path / "state")
    for name, values in evaluations.items():
        promote.run(
            write_evaluation(tmp_path / f"e-{name}", values),
            tmp_path / name,
            tmp_path / f"out-{name}",
            RunConfig(),
            key=name,
            store=found.models,
            ledger=found.ledger,
            run=Recorder(),
            reporter=Silent(),
        )
    weights = champion_weights(found)
    data = bytearray(weights.read_bytes())
    data[3] ^= 1
    weights.write_bytes(data)
    return found


def champion_weights(real: Platform) -> Path:
    champion = real.models.get("fundus", "champion")
    assert champion is not None
    return Path(champion.uri) / "disc" / "weights.safetensors"


def test_the_damaged_file_is_named_where_it_lies_and_nothing_is_left_behind(real: Platform, tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match=r"version 2 of fundus is damaged") as caught:
        real.models.fetch("fundus", "champion", tmp_path / "models")
    assert Path(caught.value.where) == champion_weights(real)
    assert "rollback" in caught.value.next
    assert list((tmp_path / "models").iterdir()) == []


def test_a_copy_fetched_before_the_damage_goes_on_answering(tmp_path: Path, real: Platform) -> None:
    good = real.models.fetch("fundus", "1", tmp_path / "models")
    assert real.models.fetch("fundus", "1", tmp_path / "models") == good
    (good / "disc" / "weights.safetensors").write_text("damaged here, not there")
    real.models.fetch("fundus", "1", tmp_path / "models")
    assert (good / "disc" / "weights.safetensors").read_text() == "weights one"


def test_one_can_go_back_from_it_and_not_return(real: Platform, tmp_path: Path) -> None:
    back = promote.rollback(real.models, real.ledger, "fundus", by="Ada", reason="damaged in storage")
    assert back.version == "1"
    assert real.models.fetch("fundus", "champion", tmp_path / "models").name == back.checksum
    with pytest.raises(DataContractError, match="damaged"):
        promote.rollback(real.models, real.ledger, "fundus", to="2", by="Ada", reason="perhaps it heals")
    assert promote.history(real.ledger, "fundus")[-1].version == "1"
