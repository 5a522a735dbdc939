"""What preprocessing leaves: the dataset as it is written, and what a person is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path

from parfocal.core.errors import DataContractError
from parfocal.core.protocols import Reporter
from parfocal.core.task import task
from parfocal.core.types import Problem, Split
from parfocal.preprocessing import shards, split
from parfocal.preprocessing.checks import Past
from parfocal.preprocessing.ingest import Taken, arrays
from parfocal.preprocessing.shards import Dataset, DatasetCase, Rejected, UnlabelledCase
from parfocal.steps.config import RunConfig


def teaches(one: Taken) -> bool:
    """A mask, or at least a point inside a frame: such a case is on a side of the split."""
    return bool(one.case.masks) or any(isfinite(f.point[0]) for framed in one.frames.values() for f in framed)


def unlabelled(entry: DatasetCase) -> UnlabelledCase:
    return UnlabelledCase(
        id=entry.id, patient=entry.patient, image=entry.image, checksum=entry.checksum, located=entry.located
    )


def described(
    taken: Iterable[Taken],
    unlabelled: Iterable[UnlabelledCase],
    sides: Mapping[str, Split],
    rejected: Iterable[Problem],
    config: RunConfig,
    instrument: str,
    quota: split.Quota,
    *,
    declared: bool,
) -> Dataset:
    cases = tuple(one.entry.model_copy(update={"split": sides[one.case.patient]}) for one in taken)
    unlabelled = tuple(unlabelled)
    every: tuple[DatasetCase | UnlabelledCase, ...] = (*cases, *unlabelled)
    return Dataset(
        task=config.task,
        instrument=instrument,
        reader=config.data.reader,
        recipe=config.recipe,
        quota=quota,
        declared=declared,
        cases=cases,
        unlabelled=unlabelled,
        rejected=tuple(Rejected(file=str(p.file), reason=p.reason, next=p.next) for p in rejected),
        unlocated=tuple(one.id for one in every if config.recipe.finds is not None and one.located is None),
        test_checksum=shards.checksum_of_tests(cases),
    )


def write(
    folder: Path, dataset: Dataset, taken: Sequence[Taken], sides: Mapping[str, Split], config: RunConfig
) -> None:
    places = {case.id: place for place, case in enumerate(dataset.cases)}
    for structure in task(config.task).names:
        for side in split.ORDER:
            for points in (False, True):
                found = arrays(
                    taken, structure, side, sides, config.static_augmentation, config.recipe, config.seed, points=points
                )
                if found is not None:
                    shards.write_arrays(folder, structure, side, found, places, points=points)
    shards.write_dataset(folder, dataset)


def tell(reporter: Reporter, dataset: Dataset, taken: Iterable[Taken], earlier: Past) -> None:
    patients = {side: {case.patient for case in dataset.on(side)} for side in split.ORDER}
    counts = ", ".join(f"{side} {len(found)}" for side, found in patients.items())
    unlabelled = f"; unlabelled {len(dataset.unlabelled)}" if dataset.unlabelled else ""
    reporter.note(f"{dataset.instrument}: {len(dataset.cases)} cases; patients: {counts}{unlabelled}")
    pointed = sum(not case.masks for case in dataset.cases)
    if pointed:
        reporter.note(f"{pointed} of {len(dataset.cases)} cases have a point and no mask: for pretraining alone")
    elsewhere = sum(p not in earlier.known.here for p in set().union(*patients.values()) & set(earlier.known.elsewhere))
    if elsewhere:
        reporter.note(
            f"{elsewhere} patients are known from other instruments and keep their side; if these are other people "
            "under the same names, set split.patients to instrument"
        )
    if dataset.rejected:
        first = dataset.rejected[0]
        reporter.note(
            f"{len(dataset.rejected)} files were left out, listed in {shards.DATASET}; {first.file}: {first.reason}"
        )
    if dataset.unlocated:
        reporter.note(
            f"the locator found nothing it was certain of in {len(dataset.unlocated)} of "
            f"{len(dataset.cases) + len(dataset.unlabelled)} images: they keep the trimmed whole, and are listed in "
            f"{shards.DATASET}; {', '.join(dataset.unlocated[:5])}{' …' * (len(dataset.unlocated) > 5)}"
        )
    for remark, count in sorted(Counter(remark for one in taken for remark in one.remarks).items()):
        reporter.note(f"{count} of {len(dataset.cases)} cases have {remark}")


def refusal(wrong: Sequence[Problem], source: Path, *, fine: int) -> DataContractError:
    return DataContractError(
        f"{len(wrong)} problems; {fine} cases are fine; nothing was written{listed(wrong)}",
        where=source,
        next="mend these files, or take the good cases alone with data.on_invalid=drop",
    )


def listed(problems: Iterable[Problem]) -> str:
    return "".join(f"\n    {p.file}: {p.reason}" + (f"; {p.next}" if p.next else "") for p in problems)
