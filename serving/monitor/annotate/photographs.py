"""The photographs that the segmenter keeps, by the `case_ref` of an observation. Whoever may send one writes that."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

import cv2

from parfocal.core.errors import DataContractError
from parfocal.core.image_size import JPEG, PNG, image_size
from parfocal.preprocessing.images import decode_image, shown

CAPTURED = "captured"
HEAD = 4096
"""Bytes in which the size of a PNG stands, as the segmenter writes them."""
logger = logging.getLogger(__name__)


class Photographs:
    """The case store `<state>/captured/<task>` of one task."""

    def __init__(self, state: Path, task: str) -> None:
        self._state, self._task = state, task
        self._root = state / CAPTURED / task

    def find(self, case_ref: str | None) -> Path | None:
        """The file that a `case_ref` names; None when it is gone, or when the name leads out of the case store."""
        if not case_ref or "\0" in case_ref or "\\" in case_ref:
            return None
        parts = PurePosixPath(case_ref).parts
        if parts[:2] != (CAPTURED, self._task) or ".." in parts or len(parts) < 3:
            return None
        try:
            file = (self._state / case_ref).resolve()  # also a link that leads elsewhere
            return file if file.is_relative_to(self._root.resolve()) and file.is_file() else None
        except OSError:  # a name that is too long for a file
            return None


def size_of(file: Path) -> tuple[int, int]:
    """(width, height) of a photograph, from the head of its file.

    Raises:
        DataContractError: it is damaged.
    """
    with file.open("rb") as stream:
        found = image_size(stream.read(HEAD)) or image_size(file.read_bytes())
    if found is None:
        raise DataContractError("the photograph is damaged", where=file.name, next="mark it as unreadable")
    return found


def sound(file: Path) -> bool:
    """Whether the head of its file can be read; one that cannot is nobody's work."""
    try:
        size_of(file)
    except (DataContractError, OSError) as error:
        logger.warning("a photograph is passed over: %s", " ".join(str(error).split()))
        return False
    return True


def for_browser(data: bytes) -> tuple[bytes, str]:
    """A photograph as a browser can show it, and its media type. No other file is one: nothing is guessed."""
    if data.startswith(PNG):
        return data, "image/png"
    if data.startswith(JPEG):
        return data, "image/jpeg"
    return cv2.imencode(".png", shown(decode_image(data)))[1].tobytes(), "image/png"
