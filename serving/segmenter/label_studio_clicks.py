"""Key points that Label Studio's smart tool sends, as clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parfocal_serving.segmenter.label_studio_config import BACKGROUND, Interface
from parfocal_serving.segmenter.problems import RequestError

from parfocal.augmentation.clicks import Click


def clicks_of(drawn: Sequence[Any], interface: Interface) -> tuple[str, tuple[Click, ...]]:
    """The structure that was pointed at, and every key point as a click.

    A point is of the background where its label begins with that word, or where the tool says that it is not positive.

    Raises:
        RequestError: 400 no key points, points that lie nowhere, or of two structures.
    """
    structures: list[str] = []
    clicks = []
    for one in drawn:
        if not isinstance(one, dict) or one.get("type") != "keypointlabels":
            continue
        value = one.get("value") or {}
        label = str((value.get("keypointlabels") or [""])[0])
        positive = bool(one.get("is_positive", value.get("is_positive", 1)))
        behind = label.strip().lower().startswith(BACKGROUND)
        structure = interface.structure(label)
        if structure is None and not behind:
            raise RequestError(400, f"the key point '{label[:40]}' is no structure", where="context",
                               expected=f"one of {', '.join(interface.labels.values())}, or {BACKGROUND}")  # fmt: skip
        structures += [structure] if structure and structure not in structures else []
        clicks.append(_click(one, value, positive and not behind))
    if not clicks or len(structures) > 1 or (not structures and len(interface.labels) > 1):
        raise RequestError(400, f"key points of {len(structures)} structures", where="context", expected="of one",
                           next="point at one structure at a time")  # fmt: skip
    return structures[0] if structures else next(iter(interface.labels)), tuple(clicks)


def drawn_so_far(said: Mapping[str, Any]) -> Sequence[Any]:
    """What a smart tool sends of the regions on the picture; nothing where nobody has pointed at anything."""
    found: Any = said
    for name in ("params", "context", "result"):
        if not isinstance(found, dict):
            raise RequestError(400, "the request is not as Label Studio sends it", where=name, expected="an object")
        found = found.get(name) or {}
    if found and not isinstance(found, list):
        raise RequestError(400, "the request is not as Label Studio sends it", where="result", expected="a list")
    return found or ()


def _click(one: Mapping[str, Any], value: Mapping[str, Any], positive: bool) -> Click:
    try:
        width, height = int(one["original_width"]), int(one["original_height"])
        column, row = int(value["x"] / 100 * width), int(value["y"] / 100 * height)
        if not (0 <= value["x"] <= 100 and 0 <= value["y"] <= 100 and width > 0 and height > 0):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise RequestError(
            400, "a key point that lies nowhere", where="context", expected="x and y in percent"
        ) from None
    return Click(min(row, height - 1), min(column, width - 1), positive)
