"""Predictions of frozen cases, where some network sees a slice's neighbours: its volume is put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from parfocal.core.errors import DataContractError
from parfocal.evaluation.frozen import FrozenCase
from parfocal.inference.clicked import ClickedCascade
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.images import Picture
from parfocal.steps.clicking import Judged, answer


def volume_of(case: FrozenCase, cases: Sequence[FrozenCase]) -> tuple[FrozenCase, ...]:
    """The slices of the case's volume among `cases`, itself with them, in their order in the volume.

    Raises:
        DataContractError: it is no slice of a volume.
    """
    volume = case.case.slice.volume
    if not volume:
        raise DataContractError(
            f"{case.case.id} is no slice of a volume, and a network here looks at several together",
            where=case.image,
            next="preprocess the volumes again with the reader volume, dicom or phantom",
        )
    mine = (one for one in cases if (one.instrument, one.case.slice.volume) == (case.instrument, volume))
    return tuple(sorted(mine, key=lambda one: one.case.slice.number))


def volumes(cases: Sequence[FrozenCase]) -> Iterator[tuple[FrozenCase, ...]]:
    """All volumes, in the order of their first slices."""
    seen: set[tuple[str, str]] = set()
    for case in cases:
        slices = volume_of(case, cases) if (case.instrument, case.case.slice.volume) not in seen else ()
        seen.add((case.instrument, case.case.slice.volume))
        if slices:
            yield slices


def predictions(slices: Sequence[FrozenCase], pictures: Sequence[Picture], predictor: Judged) -> list[Prediction]:
    """Of the slices of one volume; a network of pictures sees them one by one."""
    if isinstance(predictor, ClickedCascade):
        return [answer(predictor, case, picture) for case, picture in zip(slices, pictures, strict=True)]
    numbers = [one.case.slice.number for one in slices]
    return list(predictor.predict_volume(pictures, numbers, slices[0].instrument))


def predicted(
    cases: Sequence[FrozenCase], predictors: Mapping[str, Judged]
) -> Iterator[tuple[FrozenCase, Picture, dict[str, Prediction]]]:
    """Every case with its picture and what each model says of it; volume by volume where some model needs that."""
    if not any(predictor.bundle.stacked for predictor in predictors.values()):
        for case in cases:
            image = case.read_image()
            yield case, image, {name: answer(predictor, case, image) for name, predictor in predictors.items()}
        return
    for slices in volumes(cases):
        images = [one.read_image() for one in slices]
        found = {name: predictions(slices, images, predictor) for name, predictor in predictors.items()}
        for place, (case, image) in enumerate(zip(slices, images, strict=True)):
            yield case, image, {name: answers[place] for name, answers in found.items()}


def predict(case: FrozenCase, cases: Sequence[FrozenCase], predictor: Judged) -> Prediction:
    """What one model says of one case."""
    if not predictor.bundle.stacked:
        return answer(predictor, case, case.read_image())
    slices = volume_of(case, cases)
    return predictions(slices, [one.read_image() for one in slices], predictor)[slices.index(case)]
