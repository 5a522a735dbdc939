"""Stage folders are whole or not there, and a changed file is found."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError


def make(folder: Path, **kwargs: object) -> manifest.Manifest:
    with manifest.new_folder(folder, "dataset", **kwargs) as scratch:  # type: ignore[arg-type]
        (scratch / "inner").mkdir()
        (scratch / "inner" / "a.txt").write_text("a")
        (scratch / "b.txt").write_text("b")
    return manifest.read(folder)


def test_a_finished_folder_verifies_and_names_its_parents(tmp_path: Path) -> None:
    parent = make(tmp_path / "parent").parent(tmp_path / "parent")
    made = make(tmp_path / "out", parents=[parent], seed=3, config={"x": 1})
    assert manifest.verify(tmp_path / "out", "dataset") == made
    assert made.parents == (parent,)
    assert (made.seed, made.config, set(made.files)) == (3, {"x": 1}, {"inner/a.txt", "b.txt"})


def test_identity_depends_on_the_payload_alone(tmp_path: Path) -> None:
    assert make(tmp_path / "one", seed=1).checksum == make(tmp_path / "two", seed=2).checksum


@pytest.mark.parametrize("harm", ["change", "remove", "add"])
def test_a_changed_missing_or_added_file_is_named(tmp_path: Path, harm: str) -> None:
    make(tmp_path / "out")
    if harm == "change":
        (tmp_path / "out" / "b.txt").write_text("B")
    elif harm == "remove":
        (tmp_path / "out" / "b.txt").unlink()
    else:
        (tmp_path / "out" / "c.txt").write_text("c")
    with pytest.raises(DataContractError, match=r"[bc]\.txt"):
        manifest.verify(tmp_path / "out")


def test_a_manifest_edited_to_match_a_changed_file_is_still_found(tmp_path: Path) -> None:
    make(tmp_path / "out")
    (tmp_path / "out" / "b.txt").write_text("B")
    file = tmp_path / "out" / manifest.MANIFEST
    values = json.loads(file.read_text())
    values["files"]["b.txt"] = manifest.sha256(tmp_path / "out" / "b.txt")
    file.write_text(json.dumps(values))
    with pytest.raises(DataContractError, match="disagrees with itself"):
        manifest.verify(tmp_path / "out")


def test_a_failed_stage_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), manifest.new_folder(tmp_path / "out", "dataset") as scratch:
        (scratch / "a.txt").write_text("a")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(UsageError, match="already there"):
        make(tmp_path / "out")


def test_of_two_who_write_one_output_at_once_the_second_is_told_and_the_first_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="another process has written"),
        manifest.new_folder(tmp_path / "out", "dataset") as late,
    ):
        (late / "b.txt").write_text("late")
        first = make(tmp_path / "out")
    assert manifest.verify(tmp_path / "out") == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_another_kind_of_folder_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(DataContractError, match="a dataset, not a bundle"):
        manifest.verify(tmp_path / "out", "bundle")
    with pytest.raises(DataContractError, match="no manifest"):
        manifest.read(tmp_path)


def test_a_killed_stage_leaves_no_output_and_the_next_run_clears_its_scratch(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from parfocal.core import manifest
        with manifest.new_folder(Path(sys.argv[1]), "dataset") as scratch:
            (scratch / "half").write_text("half")
            print("writing", flush=True)
            time.sleep(60)
    """)
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "out").exists()
    assert len(list(tmp_path.glob(".out.*.partial"))) == 1
    make(tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    manifest.write_atomic(file, "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        manifest.write_atomic(file, "new")
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_sealing_times_are_utc(tmp_path: Path) -> None:
    before = time.time()
    from datetime import datetime

    assert datetime.fromisoformat(make(tmp_path / "out").created).timestamp() >= before - 1
