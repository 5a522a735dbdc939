"""How long do people wait for the queue and for the next case, when twenty thousand cases are labelled already?

    python benchmarks/annotation_queue.py [--kept 20000] [--waiting 500] [--database URL]

A monitor's annotation, without HTTP, on a database in which `kept` cases are labelled, a tenth of them twice, and as
many photographs of one instrument wait as are ever looked at. With `--database` an empty PostgreSQL takes the place of
SQLite. The labelled cases' own files are not there: they are in closed experiences, which are archived. Milliseconds
are of this process's processor, so that they hold on a machine that does other things too; a server's are not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.schema import ANNOTATIONS, OBSERVATIONS
from parfocal_serving.monitor.service import Service
from parfocal_serving.monitor.settings import MonitorSettings
from sqlalchemy import insert

TASK, INSTRUMENT, BATCH = "fundus", "A", 1000
RUNS = json.dumps({"disc": {"size": [1024, 1024], "counts": list(range(600))}})
"""Of a mask as a person draws it."""


def observations(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Photographs that wait."""
    folder.mkdir(parents=True)
    for number in range(count):
        file = folder / f"{number}.png"
        file.write_bytes(cv2.imencode(".png", np.full((64, 64, 3), number % 256, np.uint8))[1].tobytes())
        yield {
            "id": f"waits-{number}", "task": TASK, "instrument": INSTRUMENT, "model_version": "1", "reference_id": "r",
            "seq": number, "time": float(number), "received": time.time(), "embedding": bytes(4 * 371), "shape": "{}",
            "acquisition": "{}", "patient_hmac": f"{number:064x}", "scored": False,
            "case_ref": f"captured/{TASK}/today/{file.name}",
        }  # fmt: skip


def labels(count: int) -> Iterator[dict[str, Any]]:
    """Cases that were accepted, of patients who are not among those that wait."""
    for number in range(count):
        for reading in range(2 if number % 10 == 0 else 1):
            yield {
                "task": TASK, "case_id": f"kept-{number}", "reading": reading, "instrument": INSTRUMENT,
                "patient": f"p{number}", "side": ("train", "train", "test", "validation")[number % 4],
                "state": "accepted", "annotator": f"person {number % 7 + reading}", "token": f"{number:064x}",
                "until": float(number), "offered": float(number), "ended": float(number), "shown": False,
                "why": "{}", "draft": "", "draft_by": "", "proposal": "", "masks": RUNS,
                "agreement": json.dumps({"proposal": {"disc": 0.9, "cup": 0.8}}),
            }  # fmt: skip


def fill(settings: MonitorSettings, kept: int, waiting: int) -> None:
    database = connect(settings.monitor_database)
    sources = (
        (OBSERVATIONS, list(observations(settings.state / "captured" / TASK / "today", waiting))),
        (ANNOTATIONS, list(labels(kept))),
    )
    for table, rows in sources:
        for start in range(0, len(rows), BATCH):
            with database.write() as connection:
                connection.execute(insert(table), rows[start : start + BATCH])
    database.close()


def median(work: Callable[[], object], times: int) -> float:
    """Milliseconds of this process's processor."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(1000 * (time.process_time() - began))
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=int, default=20_000)
    parser.add_argument("--waiting", type=int, default=500)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--database", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        more = {"database_url": asked.database} if asked.database else {}
        settings = MonitorSettings(state=Path(folder) / "state", open=True, trigger_path="monitor", **more)
        fill(settings, asked.kept, asked.waiting)
        service = Service(settings)
        service.start()
        try:
            people = iter(range(10_000))
            annotation = service.annotation
            found = {
                "first queue": median(annotation.queue, 1),
                "queue": median(annotation.queue, asked.times),
                "next": median(lambda: annotation.next(None, f"person {next(people)}"), asked.times),
                "queue again": median(annotation.queue, asked.times),
            }
        finally:
            service.stop()
    print(json.dumps({name: round(value, 1) for name, value in found.items()} | vars(asked)))


if __name__ == "__main__":
    main()
