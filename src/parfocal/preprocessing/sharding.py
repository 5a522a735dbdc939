"""One source in several parts, each a pod's work: every patient is in one of them, and all are of about one size."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from parfocal.core.errors import UsageError
from parfocal.core.protocols import Scan
from parfocal.core.types import Case, Problem

_TEXT = re.compile(r"([1-9]\d*)/([1-9]\d*)")


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """Part `number` of `of`, counted from 1; written as ``2/8``."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``.

        Raises:
            UsageError: it is no such text, or there is no such part.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None or int(found[1]) > int(found[2]):
            raise UsageError(f"'{text}' is no shard", expected="NUMBER/ALL from 1/ALL to ALL/ALL, such as 2/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def patients(cases: Iterable[Case], shard: Shard) -> frozenset[str]:
    """Who is in that part: patients with most images first, each to the part that has fewest images so far.

    The same whatever the order of the cases, so that every pod knows all parts without being told.
    """
    images = Counter(case.patient for case in cases)
    loads = [0] * shard.of
    mine = set()
    for patient, count in sorted(images.items(), key=lambda one: (-one[1], one[0])):
        lightest = loads.index(min(loads))
        loads[lightest] += count
        if lightest == shard.number - 1:
            mine.add(patient)
    return frozenset(mine)


def listing(scan: Scan, problems: Sequence[Problem]) -> str:
    """SHA-256 of what a reader found in a source, so that parts of two states of it are not put together.

    Args:
        scan: all of it, unlabelled cases among the others.
        problems: of files that fit no case, named relative to the source.
    """
    cases = [
        (case.id, case.patient, case.checksum, sorted(case.masks), sorted(case.points.items()), case.grader,
         case.assisted, case.spacing, case.slice)
        for case in scan.cases
    ]  # fmt: skip
    splits = [sorted((found or {}).items()) for found in (scan.declared_splits, scan.drawn_splits)]
    rest = [(str(problem.file), problem.reason, problem.next) for problem in problems]
    return hashlib.sha256(json.dumps([cases, splits, rest]).encode()).hexdigest()
