"""Walking a source: what is there, what is litter, and how an error of one file becomes a problem."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.task import task as named_task
from parfocal.core.types import Problem

T = TypeVar("T")
R = TypeVar("R")

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
DOCUMENTS = (".txt", ".md", ".csv", ".xml", ".json", ".html", ".pdf", ".xls", ".xlsx", ".mat", ".m", ".log")
"""What public sets put beside their images: terms, tables, boundaries as text. Not read, and no problem."""
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def visible(folder: Path) -> Iterator[Path]:
    """Entries of a folder in order, without hidden ones and what desktops leave; nothing when it is not there."""
    if folder.is_dir():
        entries = sorted(folder.iterdir())
        yield from (entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in _LITTER)


def walk(folder: Path) -> Iterator[Path]:
    """All files under a folder, in order."""
    for entry in visible(folder):
        if entry.is_dir():
            yield from walk(entry)
        else:
            yield entry


def stem(file: Path) -> str:
    """The name without its suffix; ``.nii.gz`` is one suffix."""
    name = file.name[:-3] if file.name.lower().endswith(".nii.gz") else file.name
    return Path(name).stem


def by_name(folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, Path], list[Problem]]:
    """Files of a folder by name without suffix; what has another suffix, or a name twice, is a problem."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    problems: list[Problem] = []
    for file in visible(folder):
        if file.name.lower().endswith(suffixes) and file.is_file():
            found[stem(file)].append(file)
        else:
            wanted = "/".join(suffix.removeprefix(".") for suffix in suffixes)
            problems.append(Problem(file, f"not a {wanted} file", "convert it, or move it elsewhere"))
    return only(found.items(), problems), problems


def only(found: Iterable[tuple[str, Sequence[Path]]], problems: list[Problem]) -> dict[str, Path]:
    """The names that one file has; every file of another name is added to `problems`."""
    single: dict[str, Path] = {}
    for name, files in found:
        if len(files) == 1:
            single[name] = files[0]
        else:
            others = ", ".join(file.name for file in files)
            problems += [Problem(file, f"{others} have one name", "keep one of them") for file in files]
    return single


def gather(work: Callable[[T], R], items: Sequence[T]) -> tuple[list[R], list[Problem]]:
    """Results of `work` in the order of `items`, a thread a core; a DataContractError becomes a problem of its file."""

    def attempt(item: T) -> R | Problem:
        try:
            return work(item)
        except DataContractError as error:
            return as_problem(error)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(attempt, items))
    problems = [result for result in results if isinstance(result, Problem)]
    return [result for result in results if not isinstance(result, Problem)], problems


def as_problem(error: DataContractError) -> Problem:
    """The same words as a problem of the file that the error names."""
    expected = f"; expected {error.expected}" if error.expected else ""
    return Problem(Path(error.where), f"{error.what}{expected}", error.next)


def instrument_named(instrument: str) -> None:
    """Refuse to go on without an instrument: none of these layouts says which it is.

    Raises:
        UsageError: it is empty.
    """
    if not instrument:
        raise UsageError("the instrument has no name", expected="data.instrument, such as --instrument clinic-a")


def common(task: str, known: tuple[str, ...], reader: str) -> tuple[str, ...]:
    """The structures that the task looks for and the set has masks of.

    Raises:
        UsageError: there are none.
    """
    names = named_task(task).names
    found = tuple(name for name in names if name in known)
    if not found:
        raise UsageError(
            f"the reader '{reader}' has no masks for task {task}",
            where=f"structures {', '.join(names)}",
            expected=f"a task with {' or '.join(known)}",
        )
    return found


def wrong_root(source: Path, layout: str) -> DataContractError:
    """The error for a folder that is not what the reader reads; `layout` shows the tree."""
    what = "this is not the folder that the reader expects" if source.is_dir() else "there is no such folder"
    return DataContractError(what, where=source, expected=layout, next="point the source at the folder that has these")
