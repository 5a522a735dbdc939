"""The steps of fitting a reference: deal the cases into folds, look at them, see who has enough, fit and calibrate."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation
from parfocal.drift import Stream, frequency, mahalanobis
from parfocal.drift.frequency import Frequency
from parfocal.drift.mahalanobis import Model
from parfocal.drift.scoring import Usual, distances

USABLE = 20
"""Cases of an instrument that a stream can measure, at least, for it to be in a reference."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """An instrument's cases as one stream sees them.

    Attributes:
        rows: [N, D]; NaN where a case cannot be measured.
        folds: [N], which fold each case is in, 0 up.
    """

    rows: Floats
    folds: NDArray[np.intp]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which rows can be measured, [N]."""
        return np.asarray(np.isfinite(self.rows).all(axis=1))


def ordered(observations: Sequence[Observation]) -> list[Observation]:
    """An instrument's cases in an order that does not depend on how they came."""
    return sorted(observations, key=lambda observation: observation.id)


def deal(name: str, count: int, folds: int, seed: int) -> NDArray[np.intp]:
    """The fold of each of an instrument's cases, [count]; sizes differ by one at most. Other instruments move none."""
    dealt = np.arange(count) % folds
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(dealt)


def look(stream: Stream, cases: Mapping[str, Sequence[Observation]], folds: int, seed: int) -> dict[str, Seen]:
    """By instrument, all with the columns that are the commonest over all of them."""
    width = stream.vectors([seen for found in cases.values() for seen in found]).shape[1]
    return {
        name: Seen(stream.vectors(found, width), deal(name, len(found), folds, seed)) for name, found in cases.items()
    }


def usable(seen: Mapping[str, Mapping[str, Seen]]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which streams can be used, given cases by stream and instrument, and why instruments or streams are left out.

    A stream for which no instrument has enough cases is left out; then every instrument that lacks cases in one of the
    others. Nothing may be left.
    """
    lacks = {stream: {name: _lack(stream, one) for name, one in found.items()} for stream, found in seen.items()}
    streams = tuple(stream for stream, found in lacks.items() if not all(found.values()))
    absent: dict[str, str] = {}
    for stream in streams or tuple(lacks):
        for name, reason in lacks[stream].items():
            if reason:
                absent.setdefault(name, reason)
    names = {name for found in lacks.values() for name in found}
    if names <= set(absent):
        return (), absent
    empty = {stream: "no instrument has enough usable cases" for stream in lacks if stream not in streams}
    return streams, absent | empty


def usual(seen: Seen, stream: Stream, components: int, shrinkage: float) -> tuple[Usual, Floats]:
    """Fit a model to all cases and calibrate it on each, seen by a model that was fitted without its fold.

    Returns:
        The model with its calibration, and the same scores in the order of the cases, [N].
    """
    amounts = seen.rows.shape[1] - stream.categories

    def fitted(rows: Floats) -> tuple[Model, tuple[Frequency, ...]]:
        model = mahalanobis.fit(
            rows[:, :amounts], components=components, shrinkage=shrinkage, resolution=stream.resolution
        )
        return model, tuple(frequency.count(column) for column in rows[:, amounts:].T)

    found = np.full(len(seen.rows), np.inf)
    for fold in np.unique(seen.folds):
        held_out = seen.folds == fold
        found[held_out] = distances(*fitted(seen.rows[seen.usable & ~held_out]), seen.rows[held_out])
    typical = max(float(np.median(found[np.isfinite(found)])), 1e-12)
    scores = found / typical
    model, categories = fitted(seen.rows[seen.usable])
    return Usual(model, typical, np.sort(scores), categories), scores


def pooled(fitted: Sequence[tuple[Usual, Floats]], seen: Sequence[Seen]) -> Floats:
    """Scores of all instruments' cases against the nearest instrument, ascending; each held out of its own."""
    found = []
    for place, (one, (_, own)) in enumerate(zip(seen, fitted, strict=True)):
        others = [usual.distances(one.rows) for other, (usual, _) in enumerate(fitted) if other != place]
        found.append(np.min([own, *others], axis=0))
    return np.sort(np.concatenate(found))


def _lack(stream: str, seen: Seen) -> str:
    """Why an instrument cannot be in a stream; empty when it can."""
    count = int(seen.usable.sum())
    if count >= USABLE:
        return ""
    return f"{count} of its {len(seen.rows)} cases can be used for {stream}; {USABLE} are the fewest"
