"""Cases that no known instrument made, put together: a tight, large group is a candidate for an instrument.

Far from every known instrument is what `Scorer` says of undeclared traffic in appearance or in acquisition; framing is
not asked, since one camera frames in many ways. Far cases are grouped by average linkage (Sokal and Michener 1958) in
the embedding and, less, in acquisition, scaled by the known instruments' own scatter: a group is tight when its cases
lie no further apart than a known instrument's do. It is large when known instruments would not have so many far cases
by chance. All is pure: what was found before goes in, so that a candidate keeps its id and its name while cases arrive.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from parfocal.core.config import Config
from parfocal.core.types import Observation
from parfocal.drift.reference import Reference

STREAM = "appearance"
ASKED = (STREAM, "acquisition")
"""Streams in which a case may be far."""
MOST = 2.0
"""Square of the distance in acquisition beyond which two cases are no further apart."""
Floats = NDArray[np.float64]


class NoveltyConfig(Config):
    """When far cases become a candidate."""

    far: float = Field(default=0.01, gt=0, lt=1, description="p-value at and below which a case is far")
    size: int = Field(default=10, ge=2, description="cases of a candidate, at least; more where chance gives more")
    apart: float = Field(
        default=1.3,
        gt=0,
        description="distance between two groups, over that between two cases of a known one",
    )
    newest: int = Field(default=1000, ge=2, description="far cases that are grouped, at most: the newest")
    examples: int = Field(default=4, ge=1, description="cases that show what a candidate is like")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group of cases that may be an instrument.

    Attributes:
        id: stays while the group does.
        name: for people.
        members: ids of its observations, in the order of arrival.
        examples: ids of the most typical ones.
        tightness: mean distance of its cases over that of a known instrument's; about 1 for an instrument.
        by_hand: somebody has merged another into it, so it is never split again.
    """

    id: str
    name: str
    members: tuple[str, ...]
    examples: tuple[str, ...]
    tightness: float
    by_hand: bool = False


def group(
    observations: Sequence[Observation],
    reference: Reference,
    settings: NoveltyConfig,
    previous: Sequence[Candidate] = (),
) -> tuple[Candidate, ...]:
    """Candidates among observations that declared no instrument, or one that the reference does not know.

    Args:
        observations: with distinct ids, of any instrument; those of known ones are passed over.
        reference: knows the instruments; without appearance in it nothing can be said, and there are no candidates.
        settings: how far, how many, how tight.
        previous: what this function gave before, as people have left it: ids and names are theirs.

    Returns:
        The largest first. A group takes the id of the earlier candidate with which it shares most cases; groups that
        share cases with one that a person has touched become one with it.
    """
    if STREAM not in reference.streams:
        return ()
    unknown = [one for one in observations if one.instrument not in reference.instruments]
    unknown.sort(key=lambda one: (one.time, one.seq, one.id))
    scorer = reference.scorer(None, STREAM)
    vectors = scorer.stream.vectors(unknown, scorer.usual[0].width)
    far, chance = far_from_known(unknown, reference, settings)
    chosen = np.flatnonzero(far & np.isfinite(vectors).all(axis=1))[-settings.newest :]
    size = max(settings.size, math.ceil(chance))
    if len(chosen) < size:
        return ()
    cases = [unknown[i] for i in chosen]
    where = places(reference, STREAM, vectors[chosen])
    groups = linked(pair_distances(reference, cases, where), settings)
    labels = _united(groups, [one.id for one in cases], previous)
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    large = sorted((own for own in rows if len(own) >= size), key=lambda own: (-len(own), int(own[0])))
    names = _identities([tuple(cases[i].id for i in own) for own in large], previous)
    return tuple(
        _candidate(before, [cases[i].id for i in own], where[own], settings)
        for before, own in zip(names, large, strict=True)
    )


def far_from_known(
    unknown: Sequence[Observation], reference: Reference, settings: NoveltyConfig
) -> tuple[NDArray[np.bool_], float]:
    """Which cases are far, and how many would be by chance at most (three standard deviations over the mean)."""
    asked = [reference.scorer(None, name) for name in ASKED if name in reference.streams]
    far, rate = np.zeros(len(unknown), np.bool_), 0.0
    for scorer in asked:
        limit = max(settings.far / len(asked), 1.0 / (scorer.calibration_size + 1))
        far |= scorer.p_values(unknown) <= limit
        rate += limit
    mean = rate * len(unknown)
    return far, mean + 3.0 * math.sqrt(mean)


def places(reference: Reference, stream: str, vectors: Floats) -> Floats:
    """Amounts over the distance that two cases of a known instrument have: its mean square is 1."""
    models = [reference.usual[name, stream].model for name in reference.instruments]
    scale = np.sqrt(np.mean([model.scale**2 for model in models], axis=0))
    return np.asarray(vectors[:, : len(scale)] / (scale * np.sqrt(2.0 * len(scale))), np.float64)


def pair_distances(reference: Reference, cases: Sequence[Observation], where: Floats) -> Floats:
    """Distances of all pairs as `pdist` gives them: in appearance, and up to `MOST` in acquisition.

    One instrument may deliver several sizes, so however unlike two acquisitions are, they alone part no group.
    """
    found = pdist(where, "sqeuclidean")
    other = ASKED[1]
    if other not in reference.streams:
        return np.asarray(np.sqrt(found), np.float64)
    vectors = reference.scorer(None, other).stream.vectors(cases)
    taken = np.nan_to_num(pdist(places(reference, other, vectors), "sqeuclidean"), nan=MOST)
    return np.asarray(np.sqrt((found + np.minimum(taken, MOST)) / 2.0), np.float64)


def linked(apart: Floats, settings: NoveltyConfig) -> NDArray[np.int64]:
    """The group of each case, from 1, given the distances of all pairs as `pdist` gives them; of one case too."""
    if not len(apart):
        return np.ones(1, np.int64)
    return np.asarray(fcluster(linkage(apart, "average"), settings.apart, "distance"), np.int64)


def _united(labels: NDArray[np.int64], ids: Sequence[str], previous: Sequence[Candidate]) -> NDArray[np.int64]:
    """Groups most of whose earlier cases belong to one candidate that a person has touched become one group."""
    owner = {member: one.id for one in previous for member in one.members}
    firm = {one.id for one in previous if one.by_hand}
    found, first = labels.copy(), dict[str, int]()
    for label in np.unique(labels):
        before = Counter(owner[id_] for id_, own in zip(ids, labels == label, strict=True) if own and id_ in owner)
        most = before.most_common(1)[0][0] if before else ""
        if most in firm:
            found[labels == label] = first.setdefault(most, int(label))
    return found


def _identities(groups: Sequence[tuple[str, ...]], previous: Sequence[Candidate]) -> list[Candidate]:
    """For each group the candidate that it continues, or a fresh one named after its first case; none twice."""
    shared = [
        (len(set(members) & set(one.members)), -place, -rank, one)
        for place, members in enumerate(groups)
        for rank, one in enumerate(previous)
    ]
    found: dict[int, Candidate] = {}
    taken: set[str] = set()
    for count, place, _, one in sorted(shared, key=lambda each: each[:3], reverse=True):
        if count and -place not in found and one.id not in taken:
            found[-place] = one
            taken.add(one.id)
    return [found.get(place) or _fresh(members[0]) for place, members in enumerate(groups)]


def _fresh(first: str) -> Candidate:
    id_ = hashlib.sha256(first.encode()).hexdigest()[:8]
    return Candidate(id_, f"unknown-{id_}", (), (), 0.0)


def _candidate(before: Candidate, members: Sequence[str], where: Floats, settings: NoveltyConfig) -> Candidate:
    middle = ((where - where.mean(axis=0)) ** 2).sum(axis=1)
    typical = np.argsort(middle, kind="stable")[: settings.examples]
    # Two independent cases are twice as far apart, in squares, as each is from the middle.
    tightness = float(np.sqrt(2.0 * middle.sum() / max(len(members) - 1, 1)))
    examples = tuple(members[i] for i in typical)
    return replace(before, members=tuple(members), examples=examples, tightness=tightness)
