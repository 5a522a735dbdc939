"""What `segment` does with one picture or volume: masks and overlay as files, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from parfocal.core import manifest
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.protocols import Reporter
from parfocal.core.task import TASKS
from parfocal.core.types import Problem
from parfocal.evaluation import overlays, suspicion
from parfocal.evaluation.metrics import Mask, dice
from parfocal.evaluation.overlays import Picture as Shown
from parfocal.evaluation.segmentation import Segmented
from parfocal.inference import sources, toggling
from parfocal.inference.config import SegmentConfig, parse_clicks
from parfocal.inference.postprocess import FAMILY
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.inference.segmenters import Cascade, Masks, Steered, answers_clicks
from parfocal.inference.sources import Source
from parfocal.inference.volume import segment_volume
from parfocal.preprocessing.images import Picture, decode_mask, encode_mask
from parfocal.preprocessing.shards import read_dataset


class Drawer:
    """Draws with one bundle. Its networks are loaded once, pictures' and volumes' when the first of them comes."""

    def __init__(self, model: Path, spec: Bundle, asked: SegmentConfig) -> None:
        self._model, self._spec, self._asked = model, spec, asked
        self._modality = TASKS[spec.task].modality if spec.task in TASKS else ""
        self._sides = _sides(spec)

    @classmethod
    def open(cls, model: Path, spec: Bundle, asked: SegmentConfig, found: Sequence[Source]) -> Drawer:
        """A drawer whose networks for pictures are loaded if there are any, so that what cannot be is said at once.

        Raises:
            UsageError: clicks for networks that answer none, no such structure, or no such runtime.
        """
        self = cls(model, spec, asked)
        pictures = [source.name for source in found if not source.volume]
        if any(asked.of(name).clicks for name in pictures) or (pictures and asked.structure):
            _ = self._steered
        elif pictures:
            _ = self._cascade
        return self

    @staticmethod
    def unmeasured() -> tuple[str, ...]:
        """Operations of post-processing that lack their library here."""
        return tuple(sorted({*FAMILY} - {*toggling.measurable()}))

    def draw(
        self, source: Source, out: Path, reporter: Reporter, *, pictured: bool = False
    ) -> tuple[Segmented, list[Problem]]:
        """Write what is drawn of a source into `out`.

        Returns:
            What is told of it, and its truths that could not be read.

        Raises:
            DataContractError: it cannot be read, or is not what the bundle is for.
        """
        if source.volume:
            return self._volume(source, out, reporter), []
        known = self._asked.of(source.name)
        image = sources.decoded(source.file, self._modality)
        prediction: Prediction | None = None
        if known.clicks or self._asked.structure:
            masks = self._clicked(source, image, known.clicks)
        elif answers_clicks(self._spec):
            raise DataContractError("nobody clicked here, and the model answers clicks", where=source.file)
        else:
            masks, prediction = self._cascade(image)
        truth, problems = _truth(source, masks)
        measured = {}
        if prediction is not None and truth:
            measured = toggling.on_and_off(
                prediction, self._spec, self._asked.post, lambda box: self._cascade.frame(image, box), masks, truth
            )
        eye = known.eye or sources.laterality(source.file)
        read = suspicion.read(masks, eye)
        right = {name: dice(masks[name], true) for name, true in truth.items()}
        told = {**_files(out, source.name, image, masks), "glaucoma": read.as_dict() if read else None}
        return Segmented(
            source.name,
            {**told, "dice": right} if right else told,
            patient=source.patient,
            side=self._side(source.file),
            eye=eye or "",
            spacing=source.spacing,
            suspicion=read,
            measured=measured,
            picture=_shown(source.name, image, masks, truth, right) if pictured else None,
        ), problems

    @cached_property
    def _cascade(self) -> Cascade:
        return Cascade(self._model, self._spec, self._asked.runtime, self._asked.post, self._asked.instrument)

    @cached_property
    def _steered(self) -> Steered:
        structure = self._asked.structure or next(iter(self._spec.structures))
        return Steered(self._model, self._spec, structure, self._asked.runtime, self._asked.post)

    @cached_property
    def _slices(self) -> Predictor:
        return Predictor(self._model, self._asked.runtime, instrument=self._asked.instrument)

    def _clicked(self, source: Source, image: Picture, clicks: str) -> Masks:
        try:
            return self._steered(image, parse_clicks(clicks))
        except UsageError as error:  # a click where the network does not look costs this picture alone
            raise DataContractError(error.what, where=source.file, expected=error.expected, next=error.next) from None

    def _volume(self, source: Source, out: Path, reporter: Reporter) -> Segmented:
        labels = out / f"{source.name}-labels{sources.suffix(source.file) or '.nii.gz'}"

        def progress(done: int, total: int) -> None:
            reporter.progress(f"slices of {source.name}", done, total)

        asked = self._asked
        written = segment_volume(
            source.file, self._slices, labels, structure=asked.structure, series=asked.series, progress=progress
        )
        return Segmented(source.name, {"file": labels.name, **asdict(written)}, patient=source.patient)

    def _side(self, file: Path) -> str:
        return self._sides.get(manifest.sha256(file), "") if self._sides else ""


def _sides(spec: Bundle) -> dict[str, str]:
    """Side of the split by checksum of the picture, from the datasets of the bundle that are at hand."""
    folders = [Path(one.uri) for one in spec.datasets if (Path(one.uri) / manifest.MANIFEST).is_file()]
    return {case.checksum: str(case.split) for folder in folders for case in read_dataset(folder).cases}


def _truth(source: Source, masks: Masks) -> tuple[dict[str, Mask], list[Problem]]:
    """The masks that somebody drew, bool [H, W]; one that cannot be read is a problem and costs nothing else."""
    found, problems = {}, []
    for name, file in source.truth.items():
        if name not in masks:
            continue
        try:
            mask = decode_mask(file.read_bytes(), empty=True) > 0
            if mask.shape != masks[name].shape:
                raise DataContractError(f"a mask of {list(mask.shape)} for a picture of {list(masks[name].shape)}")
        except (DataContractError, OSError) as error:
            problems.append(Problem(file, f"not compared with: {error.args[0]}"))
        else:
            found[name] = mask
    return found, problems


def _files(out: Path, name: str, image: Picture, masks: Masks) -> dict[str, Any]:
    """Masks and overlay as files; what results.json says of them."""
    for structure, mask in masks.items():
        (out / f"{name}-{structure}.png").write_bytes(encode_mask(mask.astype(np.uint8)))
    (out / f"{name}-overlay.jpg").write_bytes(overlays.outlined(image, masks))
    return {
        "masks": {structure: f"{name}-{structure}.png" for structure in masks},
        "pixels": {structure: int(mask.sum()) for structure, mask in masks.items()},
        "overlay": f"{name}-overlay.jpg",
    }


def _shown(name: str, image: Picture, masks: Masks, truth: Mapping[str, Mask], right: Mapping[str, float]) -> Shown:
    true = {f"truth {structure}": mask for structure, mask in truth.items()}
    return overlays.picture("", "", "", name, right, image, {**true, **masks})
