"""The table and the files of an open experience, as the reader `folder` reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.readers.folder import COLUMNS, IMAGES, TABLE, UNLABELLED


def table(folder: Path) -> list[dict[str, str]]:
    """The table's rows; none where there is no table."""
    try:
        with (folder / TABLE).open(encoding="utf-8-sig", newline="") as stream:
            return [dict(row) for row in csv.DictReader(stream, restval="")]
    except FileNotFoundError:
        return []


def rows(folder: Path, but: str) -> list[dict[str, str]]:
    """The table's rows; without a table, what the reader takes it to say: every image is a patient of its own."""
    if (folder / TABLE).is_file():
        return table(folder)
    return [{"name": file.stem, "patient": file.stem} for file in images(folder) if file.stem != but]


def written(rows: list[dict[str, str]]) -> str:
    """A table's text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def images(folder: Path) -> list[Path]:
    """Labelled or not."""
    return [file for inner in (IMAGES, UNLABELLED) for file in visible(folder / inner)]


def visible(folder: Path) -> list[Path]:
    """Sorted; what begins with a dot is being written, or somebody's litter."""
    try:
        return sorted(entry for entry in folder.iterdir() if entry.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):  # also one that is closed, and so renamed, just now
        return []


@contextmanager
def of_field(field: str) -> Iterator[None]:
    """Say of which field of the form an error is."""
    try:
        yield
    except DataContractError as error:
        raise type(error)(error.what, where=field, expected=error.expected, next=error.next) from None
