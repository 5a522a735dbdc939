"""What does a request wait for because it is observed? The reach: under 0.1 ms.

    python benchmarks/observation_cost.py [--requests 200] [--side 1200] [--bundle FOLDER]

A worker of the segmenter in this process, its outbox on the disk. Blocks with and without being observed alternate.
What is measured in a photograph once its answer has left is timed beside it: it costs time of a processor, and nobody
waits for it.
Without --bundle two networks of the default size are trained for a few steps on phantoms.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from served_latency import make_bundle, photographs

from parfocal.core import manifest

BLOCK, WARM = 20, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--bundle", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        measure(work, options.bundle or make_bundle(work), photographs(8, options.side), options.requests)


def measure(work: Path, bundle: Path, photos: list[bytes], requests: int) -> None:
    place = work / "served" / "serving" / "fundus"
    place.mkdir(parents=True)
    current = {"task": "fundus", "version": "1", "checksum": manifest.read(bundle).checksum, "folder": str(bundle)}
    (place / "current.json").write_text(json.dumps(current))
    os.environ |= {"PARFOCAL_STATE": str(work / "served"), "PARFOCAL_TASK": "fundus"}
    from parfocal_serving.segmenter.settings import SegmenterSettings
    from parfocal_serving.segmenter.worker import Worker

    worker = Worker(SegmenterSettings())
    worker.champions.check()
    champion, accept = worker.champions.current, worker._accept
    assert champion is not None
    waited: list[float] = []
    after: list[float] = []
    totals: dict[bool, list[float]] = {True: [], False: []}
    for number in range(WARM + 2 * requests):
        observed = (number // BLOCK) % 2 == 0
        worker._accept = accept if observed else lambda *_: None  # type: ignore[method-assign]
        began = time.perf_counter()
        answer = worker.segment(champion, photos[number % len(photos)], "A", "a patient", began)
        total = time.perf_counter() - began
        if answer.after is not None:
            began = time.perf_counter()
            answer.after()
            seconds = time.perf_counter() - began
        if number < WARM:
            continue
        totals[observed].append(total)
        if observed:
            waited.append(json.loads(answer.body)["timing_ms"]["observe"])
            after.append(1000 * seconds)
    slot = worker.outbox.slot
    assert slot is not None
    assert slot.pending == len(after) + WARM, "every observed answer is in the outbox"
    worker.outbox.close()
    print(f"before the answer: {median(waited):.3f} ms median, {quantiles(waited, n=20)[-1]:.3f} ms 95 % (reach: 0.1)")
    print(f"after the answer:  {median(after):.3f} ms median, for which nobody waits")
    whole, bare = (1000 * median(totals[one]) for one in (True, False))
    print(f"the whole request: {whole:.2f} ms observed, {bare:.2f} ms not ({len(waited)} of each)")


if __name__ == "__main__":
    main()
