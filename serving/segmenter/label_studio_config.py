"""What a Label Studio project's labelling interface says: which picture, which tag gets masks, which labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from parfocal_serving.segmenter.problems import RequestError

LONGEST = 200_000
"""Characters of an interface."""
BACKGROUND = "background"
"""A label that begins so says what does not belong to a structure."""
TAGS = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels"}
"""Tags that take a mask, and the type of their results; the first that the interface has is used."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Where results go.

    Attributes:
        name: of the tag that takes masks.
        to: name of the image's tag.
        value: key of a task's data that names the picture.
        kind: type of a result.
        labels: label by structure.
    """

    name: str
    to: str
    value: str
    kind: str
    labels: Mapping[str, str]

    def structure(self, label: str) -> str | None:
        """The structure of a label, of this tag or of key points; None where it is none's."""
        wanted = label.strip().lower()
        return next((name for name, own in self.labels.items() if wanted in (name, own.lower())), None)


def read(text: object, structures: Iterable[str]) -> Interface:
    """The interface of a project.

    A label is a structure's by its value or its alias, in small letters.

    Args:
        text: XML, as Label Studio sends it with every request.
        structures: that the model finds.

    Raises:
        RequestError: 400 it is no such XML, or nothing in it takes a mask of a structure.
    """
    root = _parsed(text)
    known = tuple(structures)
    for tag, kind in TAGS.items():
        for one in root.iter(tag):
            labels = {structure: label for structure, label in _labels(one) if structure in known}
            image = next((i for i in root.iter("Image") if i.get("name") == one.get("toName")), None)
            if labels and image is not None:
                value = image.get("value", "").removeprefix("$")
                return Interface(one.get("name", ""), one.get("toName", ""), value, kind, labels)
    raise RequestError(
        400, "the labelling interface takes no mask of a structure", where="label_config",
        expected=f"<BrushLabels name=... toName=...> of an <Image>, with a <Label> called {' or '.join(known)}",
        next="name the labels so, or give them such an alias",
    )  # fmt: skip


def _labels(tag: Element) -> list[tuple[str, str]]:
    return [
        (word.strip().lower(), one.get("value", ""))
        for one in tag.iter("Label")
        for word in (one.get("alias"), one.get("value"))
        if word
    ]


def _parsed(text: object) -> Element:
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise RequestError(400, "no labelling interface", where="label_config", expected="XML")
    try:
        found: Element = fromstring(text)
    except Exception:  # defusedxml's own errors too: entities and the like
        raise RequestError(400, "the labelling interface is no XML", where="label_config", expected="XML") from None
    return found
