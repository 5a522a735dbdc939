"""The steps of fitting a reference: divide the cases, look at them, see who has enough, fit."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Observation
from parfocal.drift import Stream, mahalanobis
from parfocal.drift.scoring import Usual

USABLE = 20
"""Cases of an instrument that a stream can measure, at least, for it to be in a reference."""
USABLE_IN_PART = 5
"""Of them in each part, the fitted and the held-out one."""

Floats = NDArray[np.float64]
Parts = tuple[Sequence[Observation], Sequence[Observation]]
"""Fitted and held-out cases of an instrument."""
Vectors = tuple[Floats, Floats]
"""The same as one stream sees them, [n, D] each."""


def divide(name: str, observations: Sequence[Observation], held_out: float, seed: int) -> Parts:
    """Divide an instrument's cases at random; neither their order nor another instrument moves one."""
    ordered = sorted(observations, key=lambda observation: observation.id)
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(len(ordered))
    kept = round(len(ordered) * (1 - held_out))
    return [ordered[i] for i in order[:kept]], [ordered[i] for i in order[kept:]]


def vectors(stream: Stream, parts: Mapping[str, Parts]) -> dict[str, Vectors]:
    """By instrument, all with the columns that are the commonest over all of them."""
    width = stream.vectors([seen for both in parts.values() for part in both for seen in part]).shape[1]
    return {
        name: (stream.vectors(fitted, width), stream.vectors(held_out, width))
        for name, (fitted, held_out) in parts.items()
    }


def usable(seen: Mapping[str, Mapping[str, Vectors]]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which streams can be used, given vectors by stream and instrument, and why instruments or streams are left out.

    A stream for which no instrument has enough cases is left out; then every instrument that lacks cases in one of the
    others. Nothing may be left.
    """
    lacks = {stream: {name: _lack(stream, *pair) for name, pair in rows.items()} for stream, rows in seen.items()}
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


def usual(fitted: Floats, held_out: Floats, components: int, shrinkage: float, resolution: float) -> Usual:
    """Fit a model to the usable rows of one part and calibrate it on all rows of the other."""
    model = mahalanobis.fit(
        fitted[np.isfinite(fitted).all(axis=1)], components=components, shrinkage=shrinkage, resolution=resolution
    )
    distances = np.sort(model.distances(held_out))
    typical = max(float(np.median(distances[np.isfinite(distances)])), 1e-12)
    return Usual(model, typical, distances / typical)


def _lack(stream: str, fitted: Floats, held_out: Floats) -> str:
    """Why an instrument cannot be in a stream; empty when it can."""
    counts = [int(np.isfinite(part).all(axis=1).sum()) for part in (fitted, held_out)]
    if sum(counts) >= USABLE and min(counts) >= USABLE_IN_PART:
        return ""
    cases = len(fitted) + len(held_out)
    return (
        f"{sum(counts)} of its {cases} cases can be used for {stream}; {USABLE} are the fewest, "
        f"{USABLE_IN_PART} of them fitted and {USABLE_IN_PART} held out"
    )
