"""Which cases of an instrument are worth a label, and in which order. It only reads: `leases` gives them out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from parfocal_serving.monitor.annotate import captured, looks, sides
from parfocal_serving.monitor.annotate.offer import Offer, Standing, first_reading, second_reading
from parfocal_serving.monitor.annotate.photographs import Photographs
from parfocal_serving.monitor.annotate.sides import Frozen
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.standing import shown
from parfocal_serving.monitor.worth import CONSIDERED, waiting
from sqlalchemy import Connection, RowMapping

from parfocal.core.types import Observation, Split
from parfocal.preprocessing import split
from parfocal.triggers.labels import Waiting, cases_worth_labelling


class Queue:
    """The cases of one task that wait for a label."""

    def __init__(self, references: References, cases: CaseStore, plan: Plan, photographs: Photographs) -> None:
        self._references, self._cases, self._plan, self._photographs = references, cases, plan, photographs
        self._task, self._frozen = plan.task, Frozen()

    def instruments(self, connection: Connection) -> list[str]:
        """With a photograph or a label; those that a decision asks labels for come first."""
        found = {*captured.instruments(connection, self._task), *self._cases.instruments()}
        asked = {name for name in found if captured.decided(connection, self._task, name)}
        return sorted(found, key=lambda name: (name not in asked, name))

    def standing(self, connection: Connection, instrument: str, annotator: str, now: float) -> Standing:
        """Where an instrument stands, for an annotator who asks for a case at `now` (unix seconds)."""
        seen = self._free(connection, instrument, annotator, now)
        cases = _with_patients(waiting(None, instrument, seen))
        return self._standing(connection, instrument, annotator, now, cases)

    def offers(self, connection: Connection, instrument: str, annotator: str, now: float) -> list[Offer]:
        """Cases for an annotator, the next one first."""
        seen = {one.id: one for one in self._free(connection, instrument, annotator, now)}
        cases = {case.id: case for case in self._measured(connection, instrument, list(seen.values()))}
        standing = self._standing(connection, instrument, annotator, now, list(cases.values()))
        asked = captured.decided(connection, self._task, instrument)
        found: list[Offer] = []
        for side in standing.sides():
            names = list(standing.free[side])
            if side is Split.TRAIN:
                names = self._best([cases[name] for name in names], asked.get("train", ()), standing.lacks(side))
            elif side is Split.TEST:
                names = _first(asked.get("test", ()), names)
            found += [Offer(seen[name], instrument, side, first_reading(side, cases[name])) for name in names]
        return found

    def again(self, connection: Connection, instrument: str, annotator: str, now: float) -> list[Offer]:
        """Cases that another has labelled and that wait for a second reading."""
        found: list[Offer] = []
        for row in looks.second_readings(connection, self._task, instrument, annotator, now):
            seen, side = captured.one(connection, self._task, row["case_id"]), Split(row["side"])
            if seen is not None and self._photographs.find(seen.case_ref):
                found.append(Offer(seen, instrument, side, second_reading(side)))
        return found

    def own(self, connection: Connection, instruments: Sequence[str], annotator: str) -> list[tuple[Offer, int]]:
        """What an annotator has now, and which reading it is."""
        rows = looks.own(connection, self._task, instruments, annotator)
        known = self.settled(connection, {row["patient"] for row in rows})

        def side(row: RowMapping) -> Split:
            given = Split(row["side"])
            return given if row["reading"] else known.get(row["patient"], given)

        seen = [(row, captured.one(connection, self._task, row["case_id"])) for row in rows]
        return [
            (Offer(one, row["instrument"], side(row), json.loads(row["why"])), row["reading"])
            for row, one in seen
            if one is not None
        ]

    def holds(self, offer: Offer, file: Path) -> bool:
        """Whether this very photograph has a label already, under whatever name it was handed in."""
        return self._cases.holds(offer.instrument, file)

    def handed_in(self, instrument: str, case: str) -> bool:
        """Whether the page has handed this case in: it is kept under its id."""
        return case in self._cases.names(instrument)

    def settled(self, connection: Connection, patients: Collection[str]) -> dict[str, Split]:
        """Side of those patients who have one: as the champion's datasets froze it, else as a case of theirs was given
        out. The split of the next experience goes by the first of these two, whatever a case was given out for."""
        frozen = self._frozen.sides(self._references.champion)
        given = sides.given_out(connection, self._task, patients)
        return {**given, **{patient: frozen[patient] for patient in patients if patient in frozen}}

    def _free(self, connection: Connection, instrument: str, annotator: str, now: float) -> list[Observation]:
        """The newest photographs that this annotator could be given."""
        newest = captured.newest(connection, self._task, instrument, CONSIDERED)
        gone = self._cases.names(instrument)
        gone |= looks.taken(connection, self._task, [one.id for one in newest], annotator, now)
        return [one for one in newest if one.id not in gone and self._photographs.find(one.case_ref)]

    def _measured(self, connection: Connection, instrument: str, seen: Sequence[Observation]) -> list[Waiting]:
        """As cases that wait; those of another champion's time are measured by nothing that is here."""
        reference_id = shown(connection, self._references, self._task)
        now = [one for one in seen if one.reference_id == reference_id]
        before = [one for one in seen if one.reference_id != reference_id]
        judge = self._references.judge(reference_id)
        return _with_patients([*waiting(judge, instrument, now), *waiting(None, instrument, before)])

    def _standing(
        self, connection: Connection, instrument: str, annotator: str, now: float, cases: Sequence[Waiting]
    ) -> Standing:
        config = self._plan.run.split
        known = self.settled(connection, {case.patient for case in cases})
        have = sides.labelled(self._cases.purposes(instrument), config.new_instrument)
        out = looks.out_by_side(connection, self._task, instrument, annotator, now)
        together = {side: have[side] + out[side] for side in split.ORDER}
        wanted = sides.targets(self._plan.config.labels_needed, together, config.new_instrument)
        free = sides.drawn(cases, known, config.key, config.new_instrument[2] / 100)
        aims = sides.aims(self._plan.config.labels_needed, have, config.new_instrument)
        return Standing(wanted, have, out, free, aims)

    def _best(self, cases: Sequence[Waiting], asked: Sequence[str], count: int) -> list[str]:
        """Those that a decision names, then those from which most can be learned, then the others."""
        best = cases_worth_labelling(cases, train=count, test=0, key=self._plan.run.split.key, share=0.0).train
        return _first(asked, list(dict.fromkeys([*best, *(case.id for case in cases)])))


def _first(asked: Sequence[str], names: Sequence[str]) -> list[str]:
    """What a decision named before the rest, both in the order that they have."""
    here = set(names)
    return list(dict.fromkeys([*(name for name in asked if name in here), *names]))


def _with_patients(cases: Iterable[Waiting]) -> list[Waiting]:
    """Whoever is not known is a patient of their own."""
    return [replace(case, patient=case.patient or case.id) for case in cases]
