"""Frames of several structures as frames with one label image each, and back: what a network learns in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from parfocal.core.errors import DataContractError
from parfocal.memory.rows import concatenate, take
from parfocal.preprocessing.classes import Classes
from parfocal.preprocessing.shards import UNKNOWN, Arrays

Place = tuple[str, int]
"""A case, and which of its frames: a case has several where it has static copies."""


def joined(found: Mapping[str, Arrays], classes: Classes) -> Arrays:
    """Each frame once, with the labels of all structures that were drawn in it (`Classes.labels`) for a mask.

    Args:
        found: frames by structure, of one dataset; a case may be missing in any but one.
        classes: of those structures.

    Raises:
        DataContractError: the structures of a case were framed differently.
    """
    rows = {name: _places(found[name].case_ids) for name in classes.names if name in found}
    _refuse_unlike(found, rows)
    places: dict[Place, None] = {}
    parts = []
    for name, own in rows.items():
        fresh = [place for place in own if place not in places]
        parts.append(take(found[name], [own[place] for place in fresh]))
        places |= dict.fromkeys(fresh)
    frames = concatenate(parts)
    labels = np.empty_like(frames.mask)
    drawn = np.array([[place in own for own in rows.values()] for place in places])
    for kind in np.unique(drawn, axis=0):
        here = np.flatnonzero((drawn == kind).all(1))
        chosen = [list(places)[row] for row in here]
        masks = {
            name: found[name].mask[[own[place] for place in chosen]]
            for (name, own), has in zip(rows.items(), kind, strict=True)
            if has
        }
        labels[here] = classes.labels(masks)
    return replace(frames, mask=labels)


def parted(joint: Arrays, classes: Classes) -> dict[str, Arrays]:
    """The frames of each structure with its mask {0, 1}; frames whose labels leave it open are left out."""
    found = {}
    for name in classes.names:
        masks = classes.mask(joint.mask, name)
        rows = np.flatnonzero((masks != UNKNOWN).reshape(len(masks), -1).all(1))
        if len(rows):
            found[name] = replace(take(joint, [int(row) for row in rows]), mask=masks[rows])
    return found


def _places(case_ids: Sequence[str]) -> dict[Place, int]:
    """Row of each place, in order."""
    seen: Counter[str] = Counter()
    rows = {}
    for row, case in enumerate(case_ids):
        rows[case, seen[case]] = row
        seen[case] += 1
    return rows


def _refuse_unlike(found: Mapping[str, Arrays], rows: Mapping[str, Mapping[Place, int]]) -> None:
    for one, other in combinations(rows, 2):
        counts = [Counter(found[name].case_ids) for name in (one, other)]
        cases = counts[0].keys() & counts[1].keys()
        unlike = {case for case in cases if counts[0][case] != counts[1][case]}
        for place in rows[one].keys() & rows[other].keys():
            images = [found[name].image[rows[name][place]] for name in (one, other)]
            if not np.array_equal(*images):
                unlike.add(place[0])
        if unlike:
            raise DataContractError(
                f"{one} and {other} have frames of their own in {len(unlike)} of {len(cases)} cases",
                where=min(unlike),
                expected="one frame for all structures of a case",
                next="preprocess again with recipe.one_frame=true",
            )
