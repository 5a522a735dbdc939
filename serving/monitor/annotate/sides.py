"""Which side of the split a case to label is for, and how many of each side the next experience takes.

An experience is dealt by quota when nobody drew its patients before. Who labels case by case has to know the side
first: a case for training is chosen and may be drawn with a model's help; one for validation or the test is neither.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from parfocal_serving.monitor.references import Champion
from parfocal_serving.monitor.schema import ANNOTATIONS
from sqlalchemy import Connection, select

from parfocal.core import bundle
from parfocal.core.errors import ParfocalError
from parfocal.core.types import Split
from parfocal.preprocessing import split
from parfocal.preprocessing.shards import read_dataset
from parfocal.triggers.labels import Waiting, cases_worth_labelling

PURPOSE = {Split.TRAIN: "train", Split.VALIDATION: "test", Split.TEST: "test"}
"""How a case is labelled: `train` with a model's help, `test` by hand."""
logger = logging.getLogger(__name__)


def targets(needed: int, have: Mapping[Split, int], quota: split.Quota) -> dict[Split, int]:
    """How many labelled cases of each side are wanted: of the experience that the trigger waits for or, where it has
    them, of one that is a case larger."""
    return _dealt(max(needed, sum(have.values()) + 1), quota)


def aims(needed: int, labelled: Mapping[Split, int], quota: split.Quota) -> dict[Split, int]:
    """The sides of the experience that the trigger waits for, or of what is labelled where that is more."""
    return _dealt(max(needed, sum(labelled.values())), quota)


def labelled(purposes: Mapping[str, int], quota: split.Quota) -> Counter[Split]:
    """Labelled cases by side, of a table's `purpose`; those without one will be dealt by the quota."""
    found: Counter[Split] = Counter({side: purposes.get(side, 0) for side in split.ORDER})
    return found + Counter(_dealt(purposes.get("", 0), quota))


def _dealt(cases: int, quota: split.Quota) -> dict[Split, int]:
    """So many cases by side."""
    return dict(zip(split.ORDER, split.counts(cases, quota), strict=True))


def drawn(cases: Sequence[Waiting], known: Mapping[str, Split], key: str, share: float) -> dict[Split, list[str]]:
    """Ids by side; test and validation in random order, validation and training of the same cases.

    Args:
        cases: that wait.
        known: side of patients for whom it is settled.
        key: of the hash that says which patients are for the test.
        share: of the patients that are for the test.
    """
    plan = cases_worth_labelling(cases, train=0, test=len(cases), key=key, share=share, known=known)
    taken = set(plan.test)
    rest = [case for case in cases if case.id not in taken]
    free = [case for case in rest if known.get(case.patient) is not Split.TRAIN]
    # With every patient on the test's side the answer is all of them in the order of the hash.
    shuffled = cases_worth_labelling(free, train=0, test=len(free), key=key, share=1.0).test
    settled = [case.id for case in free if known.get(case.patient) is Split.VALIDATION]
    unsettled = [case.id for case in rest if known.get(case.patient) is not Split.VALIDATION]
    validation = [*settled, *(name for name in shuffled if name not in set(settled))]
    return {Split.TEST: list(plan.test), Split.VALIDATION: validation, Split.TRAIN: unsettled}


def given_out(connection: Connection, task: str, patients: Collection[str]) -> dict[str, Split]:
    """Side of those patients of whom a case was ever given out."""
    if not patients:
        return {}
    here = (ANNOTATIONS.c.task == task, ANNOTATIONS.c.patient.in_(patients))
    query = select(ANNOTATIONS.c.patient, ANNOTATIONS.c.side).where(*here).distinct()
    found: dict[str, Split] = {}
    for patient, side in connection.execute(query):
        found[patient] = split.most_cautious(found.get(patient), Split(side))
    return found


class Frozen:
    """Sides that the champion's datasets froze, read once a champion. Where a dataset is not on this machine, its
    patients' sides are not known here, and the split itself sees to them."""

    def __init__(self) -> None:
        self._held: tuple[str, Mapping[str, Split]] = "", {}

    def sides(self, champion: Champion | None) -> Mapping[str, Split]:
        folder = champion.folder if champion else ""
        found = self._held  # as a whole: two threads may ask at once
        if folder != found[0]:
            found = self._held = folder, dict(_read(Path(folder))) if folder else {}
        return found[1]


def _read(folder: Path) -> Iterable[tuple[str, Split]]:
    found: dict[str, Split] = {}
    try:
        for reference in bundle.parse(folder).datasets:
            for case in read_dataset(Path(reference.uri)).cases:
                found[case.patient] = split.most_cautious(found.get(case.patient), case.split)
    except (ParfocalError, OSError) as error:
        logger.info("the champion's datasets are not here: %s", " ".join(str(error).split()))
    return found.items()
