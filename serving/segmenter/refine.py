"""One click's answer: the picture from memory or from the form, the click network, and the mask as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter import answer, codecs, forms, metrics
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.click_model import ClickModel, Clicks
from parfocal_serving.segmenter.forms import Form
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.recent import Recent, Seen
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.augmentation.clicks import Click
from parfocal.core.errors import DataContractError, UsageError
from parfocal.inference.interactive import InteractivePredictor

FILES = ("image", "previous", "outer")
GIVEN, PREDICTED = "given", "champion"
"""Where the mask of the structure round it came from."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form says, its files still as bytes."""

    structure: str
    clicks: tuple[Click, ...]
    case: str
    image: bytes | None
    previous: bytes | None
    outer: bytes | None
    instrument: str | None
    masks: str
    spacing: tuple[float, float] | None


def asked(form: Form) -> Asked:
    """The form's fields.

    Raises:
        RequestError: 400 one of them is wrong, or there is neither a picture nor a case, or both.
    """
    case = forms.name(form, "case")
    if (case is None) == ("image" not in form.files):
        raise RequestError(
            400, "both a picture and a case" if case else "neither a picture nor a case", where="image",
            expected="the file field `image`, or `case`: the request_id of an answer to a picture sent before",
        )  # fmt: skip
    return Asked(
        structure=forms.name(form, "structure") or "",
        clicks=forms.clicks(form),
        case=case or "",
        image=form.files.get("image"),
        previous=form.files.get("previous"),
        outer=form.files.get("outer"),
        instrument=forms.name(form, "instrument"),
        masks=forms.masks(form),
        spacing=forms.spacing(form),
    )


class Refiner:
    """Answers clicks in one worker. May be used from several threads."""

    def __init__(self, settings: SegmenterSettings, clicks: Clicks, recent: Recent) -> None:
        self._settings, self._clicks, self._recent = settings, clicks, recent

    def model(self) -> ClickModel:
        """What answers.

        Raises:
            RequestError: 501 nothing here was asked to, 503 it is not here yet or cannot.
        """
        if not self._clicks.named:
            raise RequestError(
                501,
                "nothing here answers clicks",
                where=f"task {self._settings.task}",
                expected="PARFOCAL_CLICKS_MODEL: the folder or the registry's alias of a bundle that answers clicks",
                next="train one with --set train.objective.name=interact, and start the segmenter with it",
            )
        if (found := self._clicks.current) is None:
            raise RequestError(
                503, "the model that answers clicks is not here", where=self._clicks.named, next=self._clicks.trouble
            )
        return found

    def refine(self, model: ClickModel, champion: Champion | None, wanted: Asked, received: float) -> bytes:
        """The answer's JSON.

        Args:
            model: that answers.
            champion: says where the structure round it is, unless the form does; None where there is none.
            wanted: the form.
            received: `time.perf_counter()` when the request began.

        Raises:
            RequestError: as `web.py` documents.
        """
        predictor = _of(model, wanted.structure)
        timing: dict[str, float] = {}
        began = time.perf_counter()
        case, seen = self._seen(wanted)
        shape = seen.image.shape[0], seen.image.shape[1]
        previous = codecs.decode_mask(wanted.previous, shape, "previous") if wanted.previous else None
        timing["decode"] = time.perf_counter() - began
        outer, source, seen = self._outer(predictor, champion, wanted, seen)
        timing["outer"] = time.perf_counter() - began - timing["decode"]
        try:
            found = predictor.predict(seen.image, wanted.clicks, previous, outer=outer)
        except (DataContractError, UsageError) as error:
            where = "clicks" if isinstance(error, UsageError) else "image"
            raise RequestError(400, error.what, where=where, expected=error.expected, next=error.next) from None
        timing["refine"] = time.perf_counter() - began - sum(timing.values())
        self._recent.keep(case, seen)
        box = found.box
        values: dict[str, Any] = {
            "request_id": uuid4().hex,
            "case": case,
            "instrument": seen.instrument,
            "model": answer.model(model),
            "structure": predictor.structure.name,
            "outer": source,
            "box": {"top": box.top, "left": box.left, "bottom": box.bottom, "right": box.right},
            **answer.structure(found.mask, wanted.masks, seen.spacing),
        }
        timing["encode"] = time.perf_counter() - began - sum(timing.values())
        timing["total"] = time.perf_counter() - received
        metrics.STAGE_SECONDS.labels(model.task, "refine").observe(timing["refine"])
        values["timing_ms"] = {name: round(1000 * seconds, 3) for name, seconds in timing.items()}
        return json.dumps(values, separators=(",", ":")).encode()

    def _seen(self, wanted: Asked) -> tuple[str, Seen]:
        """The picture and the id that it has here."""
        if wanted.image is not None:
            found = codecs.decode(wanted.image, self._settings.pixels, self._settings.task)
            return uuid4().hex, Seen(found.image, wanted.instrument, wanted.spacing or found.spacing)
        seen = self._recent.get(wanted.case)
        if seen is None:
            raise RequestError(
                404,
                "this case is not remembered here",
                where="case",
                expected=f"one used less than {self._settings.recent_seconds:g} s ago, by the same worker",
                next="send the picture as `image`; its answer names a new case",
            )
        return wanted.case, replace(seen, spacing=wanted.spacing or seen.spacing)

    def _outer(
        self, predictor: InteractivePredictor, champion: Champion | None, wanted: Asked, seen: Seen
    ) -> tuple[NDArray[np.bool_] | None, str | None, Seen]:
        """The mask of the structure round it, where it came from, and the picture with what was found out."""
        name = predictor.structure.inside
        if name is None:
            return None, None, seen
        if wanted.outer:
            shape = seen.image.shape[0], seen.image.shape[1]
            return codecs.decode_mask(wanted.outer, shape, "outer"), GIVEN, seen
        if champion is None or name not in champion.predictor.bundle.structures:
            raise RequestError(
                400, f"where {name} is, is not known", where="outer", expected=f"a mask of {name}",
                next=f"refine {name} first and send its mask as `outer`",
            )  # fmt: skip
        if seen.answered_by != champion.checksum:
            masks = _champions(champion, seen)
            seen = replace(seen, masks=masks, answered_by=champion.checksum)
        return seen.masks[name], PREDICTED, seen


def _champions(champion: Champion, seen: Seen) -> Mapping[str, NDArray[np.bool_]]:
    try:
        return champion.predictor.predict(seen.image, seen.instrument or "").masks
    except DataContractError as error:
        raise RequestError(400, error.what, where="image", expected=error.expected, next=error.next) from None


def _of(model: ClickModel, name: str) -> InteractivePredictor:
    known = ", ".join(model.predictors)
    if not name and len(model.predictors) == 1:
        return next(iter(model.predictors.values()))
    if name not in model.predictors:
        what = f"no clicks for '{name[:40]}'" if name else "which structure is clicked is not said"
        raise RequestError(400, what, where="structure", expected=f"one of {known}")
    return model.predictors[name]
