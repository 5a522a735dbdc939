"""Which cases of an instrument are worth a label, in which order, and why. It only reads: `leases` gives them out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.annotate import captured, leases, sides
from parfocal_serving.monitor.annotate.photographs import Photographs
from parfocal_serving.monitor.annotate.sides import Frozen
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.standing import shown
from parfocal_serving.monitor.worth import CONSIDERED, waiting
from sqlalchemy import Connection

from parfocal.core.types import Observation, Split
from parfocal.preprocessing import split
from parfocal.triggers.labels import Waiting, cases_worth_labelling

BY_HAND = {
    Split.VALIDATION: "drawn at random to choose between trained models, so it is drawn by hand",
    Split.TEST: "drawn at random for the test, so it is drawn by hand and without sight of the model's mask",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A case that can be given out."""

    seen: Observation
    instrument: str
    side: Split
    why: Mapping[str, Any]

    @property
    def patient(self) -> str:
        return self.seen.patient_hmac or self.seen.id


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an instrument's next experience is.

    Attributes:
        wanted, labelled: cases by side; `labelled` has those that were handed in as well.
        out: that somebody has now, by side.
        free: ids that can be given out, by side, test and validation in their random order.
    """

    wanted: Mapping[Split, int]
    labelled: Mapping[Split, int]
    out: Mapping[Split, int]
    free: Mapping[Split, Sequence[str]]

    def sides(self) -> list[Split]:
        """Those that still lack cases, the emptiest first. Of a full one none is given out: thirty training cases
        without a test would start a retrain that cannot be judged."""
        lacking = {side: self.lacks(side) / max(1, self.wanted[side]) for side in split.ORDER if self.lacks(side) > 0}
        return sorted(lacking, key=lambda side: (-lacking[side], split.ORDER.index(side)))

    def lacks(self, side: Split) -> int:
        return self.wanted[side] - self.labelled.get(side, 0) - self.out.get(side, 0)


class Queue:
    """The cases of one task that wait for a label."""

    def __init__(self, references: References, cases: CaseStore, plan: Plan, photographs: Photographs) -> None:
        self._references, self._cases, self._plan, self._photographs = references, cases, plan, photographs
        self._frozen = Frozen()

    def instruments(self, connection: Connection) -> list[str]:
        """With a photograph or a label; those that a decision asks labels for come first."""
        found = {*captured.instruments(connection, self._plan.task), *self._cases.instruments()}
        asked = {name for name in found if captured.decided(connection, self._plan.task, name)}
        return sorted(found, key=lambda name: (name not in asked, name))

    def standing(self, connection: Connection, instrument: str, annotator: str, now: float) -> Standing:
        """Where an instrument stands, for an annotator who asks for a case at `now` (unix seconds)."""
        return self._look(connection, instrument, annotator, now, measure=False)[0]

    def offers(self, connection: Connection, instrument: str, annotator: str, now: float) -> list[Offer]:
        """Cases for an annotator, the next one first."""
        standing, cases, seen = self._look(connection, instrument, annotator, now, measure=True)
        asked = captured.decided(connection, self._plan.task, instrument)
        known = {case.id: case for case in cases}
        found: list[Offer] = []
        for side in standing.sides():
            free = list(standing.free[side])
            if side is Split.TRAIN:
                free = self._best([known[name] for name in free], asked.get("train", ()), standing.lacks(side))
            elif side is Split.TEST:
                free.sort(key=_first(asked.get("test", ())))
            found += [Offer(seen[name], instrument, side, _why(side, known[name])) for name in free]
        return found

    def holds(self, offer: Offer, file: Path) -> bool:
        """Whether this very photograph has a label already, under whatever name it was handed in."""
        return self._cases.holds(offer.instrument, file)

    def own(self, connection: Connection, instruments: Sequence[str], annotator: str) -> list[tuple[Offer, int]]:
        """What an annotator has now, and which reading it is."""
        found: list[tuple[Offer, int]] = []
        known = self.settled(connection)
        for row in leases.rows(connection, self._plan.task):
            if row["state"] == leases.OUT and row["annotator"] == annotator and row["instrument"] in instruments:
                seen = captured.one(connection, self._plan.task, row["case_id"])
                if seen is not None:
                    side = Split(row["side"]) if row["reading"] else known.get(row["patient"], Split(row["side"]))
                    found.append((Offer(seen, row["instrument"], side, json.loads(row["why"])), row["reading"]))
        return found

    def settled(self, connection: Connection) -> dict[str, Split]:
        """Side of every patient who has one: as the champion's datasets froze it, else as a case of theirs was given
        out. The split of the next experience goes by the first of these two, whatever a case was given out for."""
        given = sides.given_out(connection, self._plan.task)
        return {**given, **self._frozen.sides(self._references.champion)}

    def again(self, connection: Connection, instrument: str, annotator: str, now: float) -> list[Offer]:
        """Cases that another has labelled and that wait for a second reading."""
        all_rows = leases.rows(connection, self._plan.task, instrument)
        first = {row["case_id"]: row["annotator"] for row in all_rows if row["reading"] == 0}
        found: list[Offer] = []
        for row in all_rows:
            free = row["state"] == leases.WAITING or (row["state"] == leases.OUT and row["until"] <= now)
            if row["reading"] == 1 and free and first.get(row["case_id"]) != annotator:
                seen = captured.one(connection, self._plan.task, row["case_id"])
                if seen is not None and self._photographs.find(seen.case_ref):
                    text = "somebody else has labelled it: a second reading says how far two people agree"
                    side = Split(row["side"])
                    by_hand = "" if side is Split.TRAIN else "; drawn by hand, as the first was"
                    why = {"text": text + by_hand, "predicted_dice": None, "distance": None, "drawn": True}
                    found.append(Offer(seen, instrument, side, why))
        return found

    def _look(
        self, connection: Connection, instrument: str, annotator: str, now: float, *, measure: bool
    ) -> tuple[Standing, list[Waiting], dict[str, Observation]]:
        task, config = self._plan.task, self._plan.run.split
        all_rows = leases.rows(connection, task)
        gone = leases.taken(all_rows, annotator, now) | self._cases.names(instrument)
        seen = {
            one.id: one
            for one in captured.newest(connection, task, instrument, CONSIDERED)
            if one.id not in gone and self._photographs.find(one.case_ref)
        }
        cases = self._waiting(connection, instrument, list(seen.values()), measure=measure)
        known = self.settled(connection)
        share = config.new_instrument[2] / 100
        have = sides.labelled(self._cases.purposes(instrument), config.new_instrument)
        out = [
            Split(row["side"])
            for row in all_rows
            if row["instrument"] == instrument and row["reading"] == 0 and row["annotator"] != annotator
            and row["state"] == leases.OUT and row["until"] > now
        ]  # fmt: skip
        counted = {side: out.count(side) for side in split.ORDER}
        together = {side: have[side] + counted[side] for side in split.ORDER}
        wanted = sides.targets(self._plan.config.labels_needed, together, config.new_instrument)
        free = sides.drawn(cases, known, config.key, share)
        return Standing(wanted, have, counted, free), cases, seen

    def _waiting(
        self, connection: Connection, instrument: str, seen: Sequence[Observation], *, measure: bool
    ) -> list[Waiting]:
        """As cases that wait; those of another champion's time are measured by nothing that is here."""
        reference_id = shown(connection, self._references, self._plan.task)
        judge = self._references.judge(reference_id) if measure else None
        now = [one for one in seen if one.reference_id == reference_id]
        before = [one for one in seen if one.reference_id != reference_id]
        found = [*waiting(judge, instrument, now), *waiting(None, instrument, before)]
        return [replace(case, patient=case.patient or case.id) for case in found]

    def _best(self, cases: Sequence[Waiting], asked: Sequence[str], count: int) -> list[str]:
        """Those that a decision names, then those from which most can be learned, then the others."""
        best = cases_worth_labelling(cases, train=count, test=0, key=self._plan.run.split.key, share=0.0).train
        names = [case.id for case in cases]
        return list(dict.fromkeys([*(name for name in asked if name in set(names)), *best, *names]))


def _first(asked: Sequence[str]) -> Any:
    """Sorts what a decision named before the rest, both in the order that they have."""
    place = {name: number for number, name in enumerate(asked)}
    return lambda name: place.get(name, len(place))


def _why(side: Split, case: Waiting) -> dict[str, Any]:
    far = case.distance if math.isfinite(case.distance) else None
    if side is not Split.TRAIN:  # a number would say what the model thinks of it
        return {"text": BY_HAND[side], "predicted_dice": None, "distance": None, "drawn": True}
    if case.dice is not None:
        text = f"the model's mask is expected to reach a Dice of {case.dice:.2f}, and the case is unlike the others"
    elif far is not None:
        text = "it is among those that are least like what the model has learned from"
    else:
        text = "nothing measures what it is worth: it is the next one"
    return {"text": text, "predicted_dice": case.dice, "distance": far, "drawn": False}
