"""A purge that was killed can be given again."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from parfocal.cli import parfocal
from parfocal.core.manifest import verify
from parfocal.memory import replacing
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import Arrays
from parfocal.steps import purge


def memory(folder: Path) -> None:
    image, mask = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8)
    kept = Memory().with_exemplars("A", "disc", Arrays(image, mask, ("a", "b")), {"a": "p", "b": "q"})
    kept.write(folder)


def shown(folder: Path) -> list[str]:
    """All but locks."""
    return [one.name for one in folder.iterdir() if not one.name.endswith(".lock")]


def test_killed_after_it_wrote_beside_the_same_purge_goes_through(tmp_path: Path) -> None:
    place = tmp_path / "memory"
    memory(place)
    memory(tmp_path / "memory-purged")
    (done,) = purge.run([place], patient="p")
    assert done.removed == 1
    verify(place, "memory")
    assert Memory.read(place).arrays("disc")["A"].case_ids == ("b",)
    assert shown(tmp_path) == ["memory"]


class Killed(BaseException):
    """Nothing catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    """Have the process die before a rename of that number, or when the old folder is to be deleted."""
    made, rename = [], Path.rename

    def dying(self: Path, target: Path) -> Path:
        if self.name.startswith("memory"):
            made.append(target)
            if len(made) > renames:
                raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    remove = shutil.rmtree
    monkeypatch.setattr(
        replacing.shutil, "rmtree",
        lambda place, **named: (_ for _ in ()).throw(Killed) if Path(place).name.startswith(".") and renames > 1
        else remove(place, **named),
    )  # fmt: skip


@pytest.mark.parametrize("renames", [0, 1, 2])
@pytest.mark.parametrize("reader", ["purge", "read"])
def test_killed_at_any_rename_whoever_comes_next_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int, reader: str
) -> None:
    place = tmp_path / "memory"
    memory(place)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, renames)
        purge.run([place], patient="p")
    if reader == "purge":
        purge.run([place], patient="p")
    found = Memory.read(place)
    gone = renames > 0 or reader == "purge"
    assert found.arrays("disc")["A"].case_ids == (("b",) if gone else ("a", "b"))
    assert len(found.purges) == (renames > 0) + (reader == "purge")
    left = set(shown(tmp_path))
    assert left == {"memory"} if gone else "memory" in left, "the patient's pictures are gone"


def test_the_command_line_finishes_it_though_the_folder_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory(tmp_path / "memory")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 1)
        purge.run([tmp_path / "memory"], patient="p")
    assert not (tmp_path / "memory").exists()
    found = CliRunner().invoke(parfocal, ["memory", "show", str(tmp_path / "memory"), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["kept"]["disc"]["A"]["pictures"] == 1


def test_of_two_purges_at_once_neither_puts_back_what_the_other_took_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, others = tmp_path / "memory", []
    memory(place)
    replace = replacing.replace

    def slow(folder: Path, write: Callable[[Path], object]) -> None:
        if not others:
            others.append(threading.Thread(target=lambda: purge.run([place], patient="q")))
            others[0].start()
            others[0].join(0.5)  # which is long enough, if nothing keeps it waiting
        replace(folder, write)

    monkeypatch.setattr(replacing, "replace", slow)
    purge.run([place], patient="p")
    others[0].join()
    verify(place, "memory")
    left = Memory.read(place)
    assert [kept.case_ids for kept in left.arrays("disc").values()] in ([], [()])
    assert len(left.purges) == 2
