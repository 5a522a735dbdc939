"""What every reader promises (`parfocal.core.protocols.Reader`); being in the table covers a new member."""

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import reader_kit
from reader_kit import Tree

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as named_task
from parfocal.core.types import Split
from parfocal.readers import FAMILY

Look = Callable[..., Scan]


@pytest.fixture(params=list(FAMILY))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tree(name: str) -> Tree:
    return reader_kit.TREES[name]


@pytest.fixture
def root(tree: Tree, tmp_path: Path) -> Path:
    return tree.make(tmp_path / "source")


@pytest.fixture
def look(name: str, tree: Tree, tmp_path: Path) -> Look:
    def scan(source: Path, work: str = "work", task: str = "", instrument: str = "A") -> Scan:
        (tmp_path / work).mkdir(exist_ok=True)
        found: Scan = FAMILY.load(name)().scan(source, tmp_path / work, task=task or tree.task, instrument=instrument)
        return found

    return scan


def test_every_case_of_a_clean_tree_is_found_with_its_patient_and_nothing_is_a_problem(
    root: Path, tree: Tree, look: Look
) -> None:
    found = look(root)
    assert found.problems == ()
    assert len(found.cases) == tree.cases
    assert len({case.patient for case in found.cases}) == tree.patients
    assert len(found.unlabelled) == tree.unlabelled


def test_files_exist_and_masks_are_of_the_tasks_structures_as_large_as_the_image(
    root: Path, tree: Tree, look: Look
) -> None:
    drawn: list[float] = []
    for case in look(root).cases:
        image = cv2.imread(str(case.image), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        assert case.masks
        assert set(case.masks) <= set(named_task(tree.task).names)
        for mask in case.masks.values():
            stored = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
            assert stored.shape == image.shape[:2]
            drawn.append((stored > 0).mean())
            assert drawn[-1] < 0.5
            assert drawn[-1] > 0 or all(one.absent for one in named_task(tree.task).structures)
        assert (case.task, case.instrument) == (tree.task, "A")
    assert max(drawn) > 0


def test_checksums_are_of_the_files_and_ids_are_unique_and_the_same_in_the_next_scan(root: Path, look: Look) -> None:
    first, again = look(root), look(root, work="elsewhere")
    cases = [*first.cases, *first.unlabelled]
    assert [case.checksum for case in cases] == [sha256(case.image) for case in cases]
    assert len({case.id for case in cases}) == len({case.checksum for case in cases}) == len(cases)
    assert {case.id: case.checksum for case in cases} == {
        case.id: case.checksum for case in [*again.cases, *again.unlabelled]
    }


def test_a_declared_side_is_a_side_and_of_a_case_that_is_there(root: Path, look: Look) -> None:
    found = look(root)
    declared = found.declared_splits or {}
    assert set(declared) <= {case.id for case in found.cases}
    assert set(declared.values()) <= set(Split)


def test_a_stray_file_is_a_problem_and_the_cases_are_the_same(root: Path, tree: Tree, look: Look) -> None:
    if not tree.junk:
        pytest.skip("this reader looks at one file alone")
    (root / tree.junk).write_text("junk")
    found = look(root)
    assert [problem.file for problem in found.problems] == [root / tree.junk]
    assert found.problems[0].reason
    assert len(found.cases) == tree.cases


def test_another_folder_is_refused_with_the_tree_that_was_expected(tmp_path: Path, look: Look) -> None:
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "gone"):
        with pytest.raises(DataContractError) as refused:
            look(tmp_path / wrong)
        assert refused.value.expected
        assert wrong in refused.value.where


def test_an_unknown_task_is_a_mistake_of_the_person_who_asks(root: Path, look: Look) -> None:
    with pytest.raises(UsageError):
        look(root, task="spleen")
