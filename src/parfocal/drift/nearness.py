"""Which later cases belong to a group that a person has looked at: by average linkage, as the group was made.

A case goes to the group to whose cases its mean distance is smallest, if that is at most the distance at which two
groups would have become one (`NoveltyConfig.apart`), and if it is far from every known instrument. Of a group that a
person merged from several, the nearest of its parts counts. So a group takes in single cases for ever, however few of
them come, and what lies near nobody stays for `novelty.group`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.distance import cdist

from parfocal.core.types import Observation
from parfocal.drift.novelty import (
    ASKED,
    MOST,
    STREAM,
    Floats,
    NoveltyConfig,
    far_from_known,
    linked,
    pair_distances,
    places,
)
from parfocal.drift.reference import Reference


def nearest_group(
    observations: Sequence[Observation],
    reference: Reference,
    settings: NoveltyConfig,
    groups: Mapping[str, Sequence[Observation]],
) -> dict[str, str]:
    """The group of each case that belongs to one, by the case's id.

    Args:
        observations: with distinct ids.
        reference: knows the instruments; without appearance in it nothing belongs anywhere.
        settings: how far is far, and how far apart two groups are.
        groups: some cases of each, by its id; those that cannot be measured are passed over.
    """
    if STREAM not in reference.streams or not observations:
        return {}
    rows = _rows(reference, STREAM, observations)
    far, _ = far_from_known(observations, reference, settings)
    asked = [one for one, good in zip(observations, far & np.isfinite(rows).all(axis=1), strict=True) if good]
    if not asked:
        return {}
    found = {name: _distance(reference, settings, asked, cases) for name, cases in groups.items() if cases}
    names = list(found)
    if not names:
        return {}
    apart = np.array([found[name] for name in names])
    best = apart.argmin(axis=0)
    return {
        one.id: names[place]
        for one, place, distance in zip(asked, best, apart.min(axis=0), strict=True)
        if distance <= settings.apart
    }


def _distance(
    reference: Reference, settings: NoveltyConfig, asked: Sequence[Observation], cases: Sequence[Observation]
) -> Floats:
    """From each of [N] cases to the nearest part of a group, float64 [N]; inf to a group that cannot be measured."""
    kept = np.flatnonzero(np.isfinite(_rows(reference, STREAM, cases)).all(axis=1))
    members = [cases[place] for place in kept.tolist()]
    if not members:
        return np.full(len(asked), np.inf)
    apart = _across(reference, asked, members)
    parts = linked(pair_distances(reference, members, _rows(reference, STREAM, members)), settings)
    return np.asarray(np.min([apart[:, parts == part].mean(axis=1) for part in np.unique(parts)], axis=0), np.float64)


def _across(reference: Reference, asked: Sequence[Observation], members: Sequence[Observation]) -> Floats:
    """Of each case from each member, as `novelty.pair_distances` measures pairs, float64 [N, M]."""
    found = cdist(_rows(reference, STREAM, asked), _rows(reference, STREAM, members), "sqeuclidean")
    other = ASKED[1]
    if other not in reference.streams:
        return np.asarray(np.sqrt(found), np.float64)
    taken = cdist(_rows(reference, other, asked), _rows(reference, other, members), "sqeuclidean")
    taken = np.minimum(np.nan_to_num(taken, nan=MOST), MOST)
    return np.asarray(np.sqrt((found + taken) / 2.0), np.float64)


def _rows(reference: Reference, stream: str, cases: Sequence[Observation]) -> Floats:
    scorer = reference.scorer(None, stream)
    return places(reference, stream, scorer.stream.vectors(cases, scorer.usual[0].width))
