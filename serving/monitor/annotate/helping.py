"""What a model may say of a case that somebody has: of training cases alone, and it is remembered that it did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parfocal_serving.monitor.annotate import leases, masks, photographs
from parfocal_serving.monitor.annotate.asked import Refine
from parfocal_serving.monitor.annotate.assistant import Assistant
from parfocal_serving.monitor.annotate.desk import Desk, Holder
from parfocal_serving.monitor.annotate.lately import Lately
from parfocal_serving.monitor.annotate.refusal import Refusal
from parfocal_serving.monitor.annotate.sides import PURPOSE
from sqlalchemy import RowMapping

from parfocal.core.types import Split


@dataclass(frozen=True, slots=True)
class Clicked:
    """The clicks on a case as the segmenter was last asked, by structure, and which model answered."""

    clicks: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)


class Helping:
    """Asks the assistant for whoever has a case."""

    def __init__(self, desk: Desk, assistant: Assistant) -> None:
        self._desk, self._assistant = desk, assistant
        self.clicked: Lately[Clicked] = Lately()
        """By the digest of the lease's token."""

    def propose(self, who: Holder) -> dict[str, Any]:
        """The champion's masks of a training case, which is assisted from then on."""
        row = self._helped(who)
        if row["proposal"]:
            kept: dict[str, Any] = json.loads(row["proposal"])
            return kept
        seen = self._desk.seen(row)
        found = self._assistant.propose(who.case, self._desk.photograph(seen), row["instrument"])
        task = self._desk.task.name
        with self._desk.database.write() as connection:  # before anybody sees them
            row = leases.held(connection, task, *who)
            leases.change(connection, row, shown=True, proposal=json.dumps(found))
            now, model = self._desk.clock(), found["model"]
            leases.log(connection, task, who.case, row["annotator"], "proposal", now, facts=model)
        return found

    def refine(self, who: Holder, asked: Refine) -> dict[str, Any]:
        """The answer to clicks on a training case, which is assisted from then on."""
        row = self._helped(who)
        if not row["shown"]:
            task = self._desk.task.name
            with self._desk.database.write() as connection:
                row = leases.held(connection, task, *who)
                leases.change(connection, row, shown=True)
                leases.log(connection, task, who.case, row["annotator"], "clicks", self._desk.clock())
        file = self._desk.photograph(self._desk.seen(row))
        previous, outer = _png(asked.previous, file, "previous"), _png(asked.outer, file, "outer")
        clicks = [one.model_dump() for one in asked.clicks]
        answer = self._assistant.refine(who.case, file, row["instrument"], asked.structure, clicks, previous, outer)
        said = self.clicked.get(row["token"]) or Clicked()
        self.clicked.put(row["token"], Clicked({**said.clicks, asked.structure: clicks}, answer["model"]))
        return answer

    def _helped(self, who: Holder) -> RowMapping:
        """The row of a case with which a model may help."""
        self._desk.demand()
        row = self._desk.held(who)
        if PURPOSE[Split(row["side"])] == "test":
            raise Refusal(
                403, "no model helps with this case: it is for the test, or to choose between models", where=who.case,
                expected="masks that are drawn by hand", next="use brush, ellipse or polygon",
            )  # fmt: skip
        return row


def _png(runs: Mapping[str, Any] | None, file: Path, name: str) -> bytes:
    """Run lengths as the segmenter takes them; empty for none."""
    if runs is None:
        return b""
    width, height = photographs.size_of(file)
    return masks.png(masks.decode(runs, (height, width), name))
