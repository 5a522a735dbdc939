"""What can be wrong with a set of cases, before a pixel is looked at: duplicates, and patients on two sides."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem, Split
from parfocal.preprocessing.shards import Dataset, DatasetCase
from parfocal.preprocessing.split import Known, most_cautious

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier datasets hold, as far as a new one must agree with it.

    Attributes:
        known: the side of every patient.
        by_id: the latest case of that id, of this instrument.
        by_image: id of the case that has an image, by the image's checksum, of any instrument.
    """

    known: Known = field(default_factory=Known)
    by_id: Mapping[str, DatasetCase] = field(default_factory=dict)
    by_image: Mapping[str, str] = field(default_factory=dict)


def past(datasets: Iterable[Dataset], instrument: str, *, everywhere: bool) -> Past:
    """Gather what the datasets behind a champion, oldest first, say of an instrument's patients and images."""
    here: dict[str, Split] = {}
    elsewhere: dict[str, Split] = {}
    by_id: dict[str, DatasetCase] = {}
    by_image: dict[str, str] = {}
    for dataset in datasets:
        for case in dataset.cases:
            by_image[case.checksum] = case.id
            if dataset.instrument == instrument:
                here.setdefault(case.patient, case.split)
                by_id[case.id] = case
            elif everywhere:
                elsewhere[case.patient] = most_cautious(elsewhere.get(case.patient), case.split)
    return Past(Known(here, elsewhere), by_id, by_image)


def contradictions(scan: Scan, earlier: Past) -> Iterator[Problem]:
    """Why a case (the problem's file is its image) cannot stand beside the others or beside what was frozen."""
    yield from _identities(scan.cases)
    yield from _duplicates(scan.cases, earlier)
    yield from _two_sides(scan, earlier.known)


def _identities(cases: Sequence[Case]) -> Iterator[Problem]:
    seen: set[str] = set()
    for case in cases:
        if not _ID.fullmatch(case.id):
            yield Problem(case.image, f"the id '{case.id}' cannot name a file", "the reader has to make another")
        elif not case.patient:
            yield Problem(case.image, "no patient", "name the patient; without one the case cannot be split")
        elif case.id in seen:
            yield Problem(case.image, f"another case is called {case.id} too", "rename one")
        seen.add(case.id)


def _duplicates(cases: Sequence[Case], earlier: Past) -> Iterator[Problem]:
    first: dict[str, Case] = {}
    for case in cases:
        twin = first.setdefault(case.checksum, case)
        before, same = earlier.by_image.get(case.checksum, case.id), earlier.by_id.get(case.id)
        if twin is not case:
            whose = (
                "" if twin.patient == case.patient else f", and they are two patients: {twin.patient}, {case.patient}"
            )
            yield Problem(case.image, f"the same image as {twin.image.name}{whose}", "keep one of them")
        elif before != case.id:
            yield Problem(case.image, f"the same image as {before}, which the champion knows", "remove it")
        elif same is not None and same.checksum != case.checksum:
            yield Problem(case.image, f"another image than the {case.id} that the champion knows", "rename it")
        elif same is not None and same.patient != case.patient:
            reason = f"the champion knows this image of patient {same.patient}, here it is of {case.patient}"
            yield Problem(case.image, reason, "correct the patient")


def _two_sides(scan: Scan, known: Known) -> Iterator[Problem]:
    declared = scan.declared_splits or {}
    stated: defaultdict[str, set[str]] = defaultdict(set)
    for case in scan.cases:
        if case.id in declared:
            stated[case.patient].add(declared[case.id])
    for case in scan.cases:
        named, frozen = sorted(stated[case.patient]), known.side(case.patient)
        if set(named) - set(Split):
            yield Problem(case.image, f"the source declares the split {', '.join(named)}", f"one of {', '.join(Split)}")
        elif len(named) > 1:
            reason = f"patient {case.patient} is on two sides: {' and '.join(named)}"
            yield Problem(case.image, reason, "put all images of a patient on one side")
        elif frozen is not None and case.id in declared and declared[case.id] != frozen:
            reason = f"declared {declared[case.id]}, but patient {case.patient} is on side {frozen} for ever"
            advice = "remove the split" if case.patient in known.here else "or set split.patients to instrument"
            yield Problem(case.image, reason, advice)
