"""What the annotation page can ask for, one method a request. Times are unix seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.annotate import labels, leases, looks, masks, photographs
from parfocal_serving.monitor.annotate.assistant import Assistant
from parfocal_serving.monitor.annotate.desk import Desk, Holder, gone
from parfocal_serving.monitor.annotate.helping import Clicked, Helping
from parfocal_serving.monitor.annotate.offer import Offer
from parfocal_serving.monitor.annotate.overview import Overview
from parfocal_serving.monitor.annotate.queue import Queue
from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.annotate.sides import PURPOSE
from parfocal_serving.monitor.cases import NewCase
from sqlalchemy import RowMapping

from parfocal.core.types import Split

AGAIN = 5
"""Looks for a case before the others are said to be too fast."""
HandIn = Callable[[str, NewCase], tuple[bool, int]]


class Annotation:
    """The annotation of one task.

    Args:
        hand_in: keeps a labelled case and wakes the trigger; whether it is new, and how many the instrument has.
        needed: labelled cases with which a retrain may start.

    Attributes:
        helping: what a model may say of a case.
    """

    def __init__(
        self, desk: Desk, queue: Queue, overview: Overview, assistant: Assistant, *, hand_in: HandIn, needed: int
    ) -> None:
        self._desk, self._queue, self._overview, self._assistant = desk, queue, overview, assistant
        self._hand_in, self._needed = hand_in, needed
        self._database, self._task = desk.database, desk.task.name
        self.helping = Helping(desk, assistant)

    def close(self) -> None:
        self._assistant.close()

    def queue(self) -> dict[str, Any]:
        """What waits, by instrument."""
        return self._overview.read(self._desk.clock())

    def next(self, instrument: str | None, annotator: str) -> dict[str, Any] | None:
        """The next case for somebody, or the one they have already; None when nothing waits."""
        self._desk.demand()
        now = self._desk.clock()
        for _ in range(AGAIN):
            faster = False
            for offer, reading in self._offers(instrument, annotator, now):
                file = self._desk.pictures.find(offer.seen.case_ref)
                with suppress(FileNotFoundError):  # deleted just now
                    if file is None or not photographs.sound(file) or (reading == 0 and self._queue.holds(offer, file)):
                        continue  # deleted, damaged, or handed in by another way
                    if (given := self._give(offer, reading, file, annotator, now)) is not None:
                        return given
                    faster = True
            if not faster:
                return None
        raise Refusal(503, "others took every case in the meantime", next="ask again")

    def image(self, who: Holder) -> tuple[bytes, str]:
        """The photograph as a browser can show it, and its media type."""
        file = self._desk.photograph(self._desk.seen(self._desk.held(who)))
        try:
            content = file.read_bytes()
        except FileNotFoundError:  # its days were over just now
            raise gone(who.case) from None
        return photographs.for_browser(content)

    def keep_draft(self, who: Holder, draft: str) -> float:
        """Store what is not finished, JSON, and renew the lease; until when it holds."""
        self._desk.demand()
        until = self._desk.clock() + leases.SECONDS
        with self._database.write() as connection:
            row = leases.held(connection, self._task, *who)
            leases.change(connection, row, draft=draft, draft_by=row["annotator"], until=until)
        return until

    def accept(self, who: Holder, said: labels.Accepted) -> dict[str, Any]:
        """Keep the masks. Sent twice, it is kept once and answered twice."""
        self._desk.demand()
        with self._database.write() as connection:
            row = leases.held(connection, self._task, *who, states=(leases.OUT, leases.ACCEPTED))
            if row["state"] == leases.OUT:  # a lease that has lapsed must not be another's before this label is kept
                leases.change(connection, row, until=self._desk.clock() + leases.SECONDS)
        labelled = self._accept(who, row, said) if row["state"] == leases.OUT else None
        if labelled is None:
            labelled = self._overview.labelled(row["instrument"])
        return {"labelled": labelled, "needed": max(0, self._needed - labelled), "queue": self.queue()}

    def give_back(self, who: Holder, action: str, reason: str) -> dict[str, Any]:
        """`skip` or `release` a case for somebody else, or `reject` it or call it `unreadable` for good."""
        self._desk.demand()
        ended = {"reject": leases.REJECTED, "unreadable": leases.UNREADABLE}.get(action)
        now = self._desk.clock()
        with self._database.write() as connection:
            row = leases.held(connection, self._task, *who)
            if ended is not None:
                leases.change(connection, row, state=ended, ended=now, draft="", draft_by="", proposal="")
            else:
                kept = {} if action == "release" else {"draft": "", "draft_by": ""}
                leases.change(connection, row, state=leases.WAITING, token="", until=now, **kept)
            leases.log(connection, self._task, who.case, row["annotator"], action, now, reason)
        self.helping.clicked.drop(row["token"])
        return {"queue": self.queue()}

    def _offers(self, instrument: str | None, annotator: str, now: float) -> Iterator[tuple[Offer, int]]:
        """Cases and which reading of them it would be: the annotator's own one, then an instrument after the other, and
        what they skipped themselves when there is nothing else, the longest ago first."""
        with self._database.read() as connection:
            every = self._queue.instruments(connection)
            names = every if instrument is None else [name for name in every if name == instrument]
            own = self._queue.own(connection, names, annotator)
            skipped = looks.skipped(connection, self._task, annotator)
        yield from own
        late: list[tuple[Offer, int]] = []
        for name in names:
            with self._database.read() as connection:
                again = self._queue.again(connection, name, annotator, now)
                first = self._queue.offers(connection, name, annotator, now)
            found = [*((offer, 1) for offer in again), *((offer, 0) for offer in first)]
            yield from (one for one in found if one[0].seen.id not in skipped)
            late += [one for one in found if one[0].seen.id in skipped]
        yield from sorted(late, key=lambda one: skipped[one[0].seen.id])

    def _give(self, offer: Offer, reading: int, file: Path, annotator: str, now: float) -> dict[str, Any] | None:
        """Give a case out; None when somebody else was faster."""
        size = photographs.size_of(file)
        values = {
            "task": self._task, "case_id": offer.seen.id, "reading": reading, "instrument": offer.instrument,
            "patient": offer.patient, "side": offer.side, "why": json.dumps(offer.why),
        }  # fmt: skip
        with self._database.write() as connection:
            # A patient whose other photograph was given out just now has a side, and keeps it.
            settled = self._queue.settled(connection, [offer.patient]).get(offer.patient, offer.side)
            if reading == 0 and settled is not offer.side:
                return None
            taken = leases.take(connection, values, annotator, now)
        if taken is None:
            return None
        row, token = taken
        return {
            "case": offer.seen.id,
            "instrument": offer.instrument,
            "purpose": PURPOSE[Split(row["side"])],
            "side": row["side"],
            "second": reading == 1,
            "why": json.loads(row["why"]),
            "width": size[0],
            "height": size[1],
            "spacing_mm": None,
            "lease": {"token": token, "until": row["until"]},
            "annotator": annotator,
            "draft": json.loads(row["draft"]) if row["draft"] and row["draft_by"] == annotator else None,
        }

    def _accept(self, who: Holder, row: RowMapping, said: labels.Accepted) -> int | None:
        """Keep the masks; how many the instrument had with them, None where they are a second reading."""
        if not row["instrument"]:
            raise Refusal(
                409, "this case is of no instrument any more: somebody has said so of its candidate", where=who.case,
                next="ask for the next case",
            )  # fmt: skip
        seen = self._desk.seen(row)
        file = self._desk.photograph(seen)
        width, height = photographs.size_of(file)
        files = labels.check(said, self._desk.task, (height, width))
        shown, side, now = row["shown"] or said.assisted, Split(row["side"]), self._desk.clock()
        labels.refuse_help(side, assisted=shown)
        clicked = self.helping.clicked.get(row["token"]) or Clicked()
        proposal = json.loads(row["proposal"]) if row["proposal"] else {}
        model = clicked.model or proposal.get("model") or {}
        drawn = labels.Drawn(seen, row["annotator"], side, shown, said, clicked.clicks, model, now)
        new, labelled = False, None
        if row["reading"] == 0:
            new, labelled = self._hand_in(row["instrument"], labels.new_case(file.read_bytes(), files, drawn))
            new = new or self._queue.handed_in(row["instrument"], seen.id)  # by whoever was killed before the end
        self._end(who, row, said, drawn, new=new)
        self.helping.clicked.drop(row["token"])
        return labelled

    def _end(self, who: Holder, row: RowMapping, said: labels.Accepted, drawn: labels.Drawn, *, new: bool) -> None:
        agreement: dict[str, Any] = {}
        if row["proposal"]:
            proposed = {name: one["rle"] for name, one in json.loads(row["proposal"])["structures"].items()}
            agreement["proposal"] = masks.agreement(proposed, said.masks)
        facts = {
            "seconds": said.seconds, "clicks": said.clicks, "clicked": drawn.clicked, "model": drawn.model,
            "assisted": drawn.shown, "purpose": drawn.side, "reading": row["reading"], "new": new,
        }  # fmt: skip
        with self._database.write() as connection:
            held = leases.held(connection, self._task, *who, states=(leases.OUT, leases.ACCEPTED))
            if new and labels.twice(who.case):
                leases.offer_again(connection, held)
            if held["state"] == leases.ACCEPTED:  # sent twice at once, and the other one was faster
                return
            if row["reading"] == 1:
                first = leases.row(connection, self._task, who.case, 0)
                if first is not None and first["masks"]:
                    agreement["reading"] = masks.agreement(json.loads(first["masks"]), said.masks)
            leases.change(
                connection, held, state=leases.ACCEPTED, ended=drawn.time, draft="", draft_by="", proposal="",
                masks=json.dumps(said.masks), agreement=json.dumps(agreement), shown=drawn.shown,
            )  # fmt: skip
            leases.log(connection, self._task, who.case, drawn.annotator, "accept", drawn.time, facts=facts)
