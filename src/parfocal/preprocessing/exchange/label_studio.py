"""A Label Studio export (JSON) and the pictures that were labelled, as labelled cases.

The newest annotation of a task that was not cancelled counts. What a model may have shown its annotator is assisted: a
prediction on the task, or a region that began as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from parfocal.core.errors import DataContractError
from parfocal.core.types import Problem
from parfocal.preprocessing.exchange import regions
from parfocal.preprocessing.exchange.landing import Labelled
from parfocal.preprocessing.images import decode_image

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of a picture that was uploaded to it."""
ADVICE = "label it again, or leave the task out of the export"


def cases(
    export: Path, images: Path, structures: Sequence[str], labels: Mapping[str, str], problems: list[Problem]
) -> Iterator[Labelled]:
    """One case a labelled task.

    Args:
        export: "JSON" of Label Studio's export, not JSON-MIN.
        images: folder of the pictures, by the names that they were uploaded with; or any tree of them.
        structures: of the task.
        labels: structure by label, for labels that are not called as structures are.
        problems: gets what is left out, and why.

    Raises:
        DataContractError: the export is no list of tasks, or there is no folder of pictures.
    """
    found = _pictures(images)
    names: set[str] = set()
    for task in _tasks(export):
        where = export.with_name(f"{export.name}#task-{task.get('id', '?')}")
        try:
            case = _case(task, found, structures, labels, problems, where)
            if case.name in names:
                raise DataContractError(f"a second task for the picture {case.name}")
        except DataContractError as error:
            problems.append(Problem(where, f"{error.what}", error.next or ADVICE))
            continue
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(Problem(where, "not what Label Studio exports", "export it again as JSON"))
            continue
        names.add(case.name)
        yield case


def _tasks(export: Path) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(export.read_bytes())
    except (OSError, ValueError) as error:
        raise DataContractError(f"the export cannot be read: {error}", where=export, expected="JSON") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) and "data" in one for one in found):
        raise DataContractError("not what Label Studio exports as JSON", where=export, expected="a list of tasks",
                                next="export the project again: JSON, not JSON-MIN")  # fmt: skip
    return found


def _pictures(folder: Path) -> dict[str, Path | None]:
    """Files by name; None for a name that two have."""
    if not folder.is_dir():
        raise DataContractError("there is no such folder", where=folder, expected="the pictures that were labelled")
    found: dict[str, Path | None] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found[file.name] = None if file.name in found else file
    return found


def _case(
    task: Mapping[str, Any], found: Mapping[str, Path | None], structures: Sequence[str], labels: Mapping[str, str],
    problems: list[Problem], where: Path,
) -> Labelled:  # fmt: skip
    done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    if not done:
        raise DataContractError("nobody labelled it", next="label it, or export labelled tasks alone")
    done.sort(key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))
    if len(done) > 1:
        problems.append(
            Problem(where, f"{len(done)} annotations: the newest is taken", "delete the others if they are wrong")
        )
    annotation = done[-1]
    file = _picture(task["data"], found)
    image = decode_image(file.read_bytes())
    height, width = image.shape[:2]
    masks: dict[str, np.ndarray] = {}
    points: dict[str, tuple[float, float]] = {}
    results = annotation["result"]
    said = {one.get("id"): one["value"]["labels"] for one in results if one["type"] == "labels"}
    for one in results:
        kind = one["type"].removesuffix("labels")
        if kind not in (*regions.SHAPES, "keypoint"):
            continue
        _refuse_other_size(one, height, width)
        structure = _structure(one["value"].get(f"{kind}labels") or said.get(one.get("id")) or [], structures, labels)
        if kind == "keypoint":
            points.setdefault(structure, regions.point(one["value"], height, width))
        else:
            drawn = regions.SHAPES[kind](one["value"], height, width)
            masks[structure] = masks[structure] | drawn if structure in masks else drawn
    empty = [structure for structure, mask in masks.items() if not mask.any()]
    if empty or not (masks or points):
        raise DataContractError(f"nothing is drawn of {', '.join(empty) or 'any structure'}")
    return Labelled(
        _UPLOADED.sub("", file.stem), file, masks, {name: at for name, at in points.items() if name not in masks},
        grader=_grader(annotation.get("completed_by")), assisted=_assisted(task, annotation),
    )  # fmt: skip


def _picture(data: Mapping[str, Any], found: Mapping[str, Path | None]) -> Path:
    """The file that a task names: by address, path, or `d=` of a local one; with or without what an upload adds."""
    for value in data.values():
        if not isinstance(value, str):
            continue
        parts = urlsplit(value)
        path = parse_qs(parts.query).get("d", [parts.path])[0]
        name = Path(unquote(path)).name
        for candidate in (name, _UPLOADED.sub("", name)):
            if candidate in found:
                file = found[candidate]
                if file is None:
                    raise DataContractError(f"two pictures are called {candidate}", next="keep one in --images")
                return file
    raise DataContractError("its picture is not in the folder of pictures", next="copy it to --images")


def _structure(said: Sequence[str], structures: Sequence[str], labels: Mapping[str, str]) -> str:
    if len(said) != 1:
        raise DataContractError(f"a region with {len(said)} labels", expected="one")
    found = labels.get(said[0], said[0].strip().lower())
    if found not in structures:
        raise DataContractError(
            f"the label '{said[0]}' is no structure", expected=f"one of {', '.join(structures)}",
            next=f"--label '{said[0]}=STRUCTURE'",
        )  # fmt: skip
    return found


def _refuse_other_size(one: Mapping[str, Any], height: int, width: int) -> None:
    size = one.get("original_width"), one.get("original_height")
    if size != (width, height):
        raise DataContractError(f"drawn on {size[0]} x {size[1]} pixels, and the picture has {width} x {height}",
                                next="put the very file into --images that was labelled")  # fmt: skip
    if one.get("image_rotation"):
        raise DataContractError("drawn on a picture that was turned", next="turn it back in Label Studio")


def _grader(by: Any) -> str:
    if isinstance(by, Mapping):
        by = by.get("email") or by.get("username") or by.get("id")
    return "" if by is None else f"label-studio:{by}"


def _assisted(task: Mapping[str, Any], annotation: Mapping[str, Any]) -> bool:
    began = any(str(one.get("origin", "manual")).startswith("prediction") for one in annotation["result"])
    return bool(began or task.get("predictions") or annotation.get("parent_prediction") or annotation.get("prediction"))
