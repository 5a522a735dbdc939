import json
from pathlib import Path

import pytest
import torch

from parfocal.core import manifest
from parfocal.core.errors import OutsideServiceError
from parfocal.models.unet import RecursiveUNet
from parfocal.training import checkpoint

META = {"state": {"steps": 9}, "history": [{"loss": 0.1}]}


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"model/w": torch.full((2, 3), value), "model/n": torch.tensor(7)}


def saved(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint.save(folder, step, tensors(step), META)


def test_the_newest_is_read_back_whole(tmp_path: Path) -> None:
    saved(tmp_path / "new" / "folder", 3, 12)
    found = checkpoint.latest(tmp_path / "new" / "folder", print)
    assert found is not None
    assert (found.step, found.meta) == (12, META)
    assert torch.equal(found.tensors["model/w"], torch.full((2, 3), 12.0))
    assert found.tensors["model/n"].item() == 7


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "nothing", print) is None
    checkpoint.clear(tmp_path / "nothing")


def test_two_are_kept_and_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / "step-00000002.safetensors.tmp").write_bytes(b"half")
    (tmp_path / ".step-00000003.safetensors.abc.tmp").write_bytes(b"half")
    saved(tmp_path, 3)
    expected = {f"step-0000000{step}.{kind}" for step in (2, 3) for kind in ("safetensors", "json")}
    assert {file.name for file in tmp_path.iterdir()} == expected
    checkpoint.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda file: file.write_bytes(file.read_bytes()[:-10]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: file.with_suffix(".json").write_text('{"step": 8, "sha'),
        lambda file: file.with_suffix(".json").write_text("[]"),
        lambda file: file.with_suffix(".json").write_bytes(b"\xff\xfe"),
    ],
    ids=["flipped", "truncated", "empty", "absent", "torn entry", "wrong entry", "garbled entry"],
)
def test_a_damaged_one_is_passed_over_with_a_note(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    saved(tmp_path, 4, 8)
    damage(tmp_path / "step-00000008.safetensors")
    notes: list[str] = []
    found = checkpoint.latest(tmp_path, notes.append)
    assert found is not None
    assert found.step == 4
    assert len(notes) == 1
    assert "step-00000008 is damaged" in notes[0]


def test_a_damaged_one_does_not_crowd_out_good_ones_written_later(tmp_path: Path) -> None:
    saved(tmp_path, 4, 8)
    flip(tmp_path / "step-00000008.safetensors")
    saved(tmp_path, 5)
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["step-00000004.json", "step-00000005.json"]


def test_whatever_keeps_it_from_being_written_is_named_and_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 4)

    def refuse(file: Path, content: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(manifest, "write_atomic", refuse)
    with pytest.raises(OutsideServiceError, match="step 8 could not be written: Permission denied"):
        saved(tmp_path, 8)
    assert checkpoint.latest(tmp_path, print).step == 4  # type: ignore[union-attr]


def test_an_optimisers_state_comes_back_in_the_layout_of_its_parameters(tmp_path: Path) -> None:
    def trained(steps: int) -> tuple[torch.nn.Module, torch.optim.Adam]:
        torch.manual_seed(0)
        model = RecursiveUNet(1, 4, 1.5, dropout=0.0).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.rand(2, 3, 8, 8)).sum().backward()
            optimizer.step()
        return model, optimizer

    model, optimizer = trained(3)
    checkpoint.save(tmp_path, 3, checkpoint.optimizer_tensors(model, optimizer), META)
    other, fresh = trained(0)
    found = checkpoint.latest(tmp_path, print)
    assert found is not None
    checkpoint.restore_optimizer(other, fresh, found.tensors)
    for parameter, twin in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optimizer.state[parameter].items():
            assert torch.equal(fresh.state[twin][key], value)
            assert fresh.state[twin][key].stride() == value.stride()


def test_there_is_no_pickle_in_it(tmp_path: Path) -> None:
    saved(tmp_path, 4)
    kinds = {file.suffix for file in tmp_path.iterdir()}
    assert kinds == {".safetensors", ".json"}
    assert json.loads((tmp_path / "step-00000004.json").read_text())["step"] == 4
