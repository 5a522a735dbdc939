"""Settings of `segment`: how a trained bundle draws masks, and what is known of single pictures."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from parfocal.augmentation.clicks import Click
from parfocal.core.config import Config
from parfocal.core.errors import UsageError
from parfocal.evaluation.glaucoma import Eye
from parfocal.inference.postprocess import PostConfig

ALL = "*"
"""In place of a picture's name: every picture."""


class Known(Config):
    """What somebody says of one picture; what is not said stays empty."""

    name: str = Field(description="of its file without the ending; * for all of them")
    eye: Eye | None = Field(
        default=None,
        description="left or right, where DICOM does not say it: without it nobody knows what is nasal (ISNT)",
    )
    clicks: str = Field(default="", description="'ROW,COL ...' in pixels of the picture; -ROW,COL is background")
    person: str = Field(default="", description="two pictures of one person are its two eyes, read beside each other")

    @field_validator("clicks")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_clicks(text)
        return text


class SegmentConfig(Config):
    """How masks are drawn."""

    runtime: str = Field(
        default="auto",
        description="openvino (or in one precision: openvino-bf16, openvino-f16, openvino-f32), onnxruntime, pytorch; "
        "auto: PARFOCAL_RUNTIME, else what fits this machine",
    )
    post: PostConfig | None = Field(
        default=None,
        description="post-processing of pictures, in order; none: the task's own, with which a bundle is judged and "
        "served; {steps: []} leaves it out",
    )
    structure: str = Field(
        default="", description="what clicks belong to (none: the outermost), or the only one drawn of a volume"
    )
    series: str = Field(default="", description="UID of the series, of a folder with several DICOM series")
    instrument: str = Field(
        default="",
        description="device and site that acquired the images: of a bundle with a network for each instrument its own "
        "answers; none: the network that learned last",
    )
    known: tuple[Known, ...] = Field(default=(), description="what is known of single pictures")
    shown: int = Field(default=24, ge=0, description="pictures in the report; every overlay is a file beside it")

    def of(self, name: str) -> Known:
        """What is known of the picture of that name."""
        found = Known(name=name)
        for one in self.known:
            if one.name in (name, ALL):
                said = one.model_dump(exclude_defaults=True)
                found = found.model_copy(update={**said, "name": name})
        return found

    def refuse_unknown(self, names: Sequence[str]) -> None:
        """Refuse what is said of pictures that are not there: a typing error would lose it.

        Raises:
            UsageError: it names them.
        """
        strange = [one.name for one in self.known if one.name not in (*names, ALL)]
        if strange:
            raise UsageError(
                f"nothing is called {', '.join(strange)}",
                where="segment.known",
                expected=f"{', '.join(names[:6])}, ...",
            )


def parse_clicks(text: str) -> tuple[Click, ...]:
    """Clicks from words ROW,COL and -ROW,COL.

    Raises:
        UsageError: a word that is none.
    """
    found = []
    for word in text.split():
        row, comma, column = word.lstrip("+-").partition(",")
        if not (comma and row.isdigit() and column.isdigit()):
            raise UsageError(f"cannot read the click '{word}'", expected="ROW,COL for the object, -ROW,COL for not")
        found.append(Click(int(row), int(column), object=not word.startswith("-")))
    return tuple(found)
