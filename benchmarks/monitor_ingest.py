"""How many observations a minute does the monitor take in, scored and on disk? The reach: 100,000 on one core.

    taskset -c 0 python benchmarks/monitor_ingest.py [--posts 60] [--batch 500] [--width 371] [--database URL]

A real monitor on a database of its own, all streams, embeddings of the size that the default networks give. With
`--database` an empty PostgreSQL takes the place of SQLite. `taskset` holds the sender and the monitor to one core, but
not a server that runs already. The peer is SQLite with the rows alone: what storing costs without looking.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from parfocal.adapters.processes import Processes, answers, free_port, wait_until
from parfocal.core.manifest import sha256
from parfocal.core.observations import to_json
from parfocal.core.types import Observation
from parfocal.drift.plausibility import MEASURES
from parfocal.drift.reference import DriftConfig, fit


def observation(number: int, width: int, reference: str = "") -> Observation:
    rng = np.random.default_rng(number)
    shape = {"disc.x": rng.normal(0.5, 0.05), "disc.y": rng.normal(0.5, 0.05), "disc.radius": 0.08, "disc.empty": 0.0}
    for name in ("disc", "cup"):
        shape |= {f"{name}.{key}": float(np.exp(0.1 * rng.normal())) for key in MEASURES}
        shape[f"{name}.empty"] = 0.0
    field: dict[str, float | str] = {"width": 1200.0, "height": 1000.0, "field.area": 0.8, "field.width": 0.98}
    field |= {"field.height": 1.0, "sharpness": 4.0 + float(rng.normal()), "flat": 0.1, "make": "phantom"}
    return Observation(
        id=f"{number:012d}",
        task="fundus",
        instrument="A",
        model_version="1",
        reference_id=reference,
        seq=number,
        time=1_700_000_000.0 + number,
        embedding=tuple(rng.normal(size=width).tolist()),
        shape={name: float(value) for name, value in shape.items()},
        acquisition=field,
    )


@contextmanager
def monitor(work: Path, width: int, database: str) -> Iterator[tuple[str, str, psutil.Process]]:
    """URL, reference and process of a monitor that knows an instrument A."""
    folder = work / "state" / "serving" / "fundus" / "bundles" / "one"
    folder.mkdir(parents=True)
    fitted = fit(
        {"A": [observation(-1 - i & 0xFFFFFF, width) for i in range(1000)]}, DriftConfig(), extractor="", seed=0
    )
    fitted.write(folder / "reference.npz")
    current = {"version": "1", "checksum": "one", "folder": str(folder)}
    (folder.parent.parent / "current.json").write_text(json.dumps(current))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "parfocal_serving.monitor.app:build", "--port", str(port)]
    more = {"PARFOCAL_STATE": str(work / "state"), "PARFOCAL_TOKEN": "benchmark", "OMP_NUM_THREADS": "1"}
    more["PARFOCAL_DATABASE_URL"] = database
    with Processes(work / "logs") as processes:
        child = processes.start("monitor", [*command, "--log-level", "warning"], {**os.environ, **more})
        wait_until(lambda: answers(port, "/readyz"), child, 60)
        yield f"http://127.0.0.1:{port}", sha256(folder / "reference.npz"), psutil.Process(child.pid)


def rows_alone(work: Path, bodies: list[bytes]) -> float:
    """Seconds to parse the bodies and insert their rows, one transaction each, as durable as the monitor's."""
    database = sqlite3.connect(work / "rows.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, body TEXT)")
    started = time.perf_counter()
    for body in bodies:
        items = json.loads(body)["observations"]
        with database:
            database.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", [(i["id"], json.dumps(i)) for i in items])
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=60)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--width", type=int, default=371)
    parser.add_argument("--database", default="", help="SQLAlchemy URL; default: SQLite in a temporary folder")
    options = parser.parse_args()
    total = options.posts * options.batch
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with monitor(work, options.width, options.database) as (url, reference, process):
            seen = [to_json(observation(i, options.width, reference)) for i in range(total)]
            chunks = [seen[i : i + options.batch] for i in range(0, total, options.batch)]
            bodies = [json.dumps({"observations": chunk}).encode() for chunk in chunks]
            client = httpx.Client(base_url=url, headers={"Authorization": "Bearer benchmark"}, timeout=60)
            before = process.cpu_times()
            started = time.perf_counter()
            for body in bodies:
                client.post("/observations", content=body).raise_for_status()
            seconds = time.perf_counter() - started
            after = process.cpu_times()
            state = client.get("/api/state").json()
            stored = state["observations"]
            streams = [stream["name"] for one in state["instruments"] for stream in one["streams"]]
        busy = after.user + after.system - before.user - before.system
        alone = rows_alone(work, bodies)
    assert stored == total, f"{stored} of {total} were stored"
    kind = options.database.partition(":")[0] or "sqlite"
    print(f"{total} observations in POSTs of {options.batch}, {len(bodies[0]) / 1e6:.2f} MB each, on {kind}")
    print(f"streams:    {', '.join(streams)}")
    print(f"monitor:    {seconds:6.2f} s, {60 * total / seconds:9,.0f} a minute; {busy:.2f} s of processor time,")
    print(f"            {60 * total / busy:,.0f} a minute on one core (reach: 100,000)")
    print(f"rows alone: {alone:6.2f} s; the monitor takes {seconds / alone:.1f} times as long")


if __name__ == "__main__":
    main()
