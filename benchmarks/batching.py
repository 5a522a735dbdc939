"""Is it worth waiting for other requests? Four pictures at once through one network, against four in turn.

    python benchmarks/batching.py                  the 6 / 40 / 1.1 network, untrained, on OpenVINO
    python benchmarks/batching.py --most 16

The same network of the same file; a batch is one call, singles are what the segmenter does: a call a picture, from as
many threads as there are processors. Rivals take turns within every round; figures are medians over rounds, of
processor time too, which other programs on the machine change least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from parfocal import models
from parfocal.inference.runtimes.openvino import OpenVINORuntime, export
from parfocal.models import ModelConfig

SIZE = 128


def rivals(runtime: OpenVINORuntime, most: int, threads: ThreadPoolExecutor) -> dict[str, Callable[[], object]]:
    """What is compared, by name: each answers `most` pictures."""
    pictures = np.random.default_rng(0).random((most, 3, SIZE, SIZE), np.float32)
    request = runtime._network.create_infer_request()
    found: dict[str, Callable[[], object]] = {
        "singles, one thread": lambda: [runtime(one[None]) for one in pictures],
        "singles, a thread each": lambda: list(threads.map(lambda one: runtime(one[None]), pictures)),
    }
    size = 2
    while size <= most:
        found[f"batches of {size}"] = lambda size=size: [
            request.infer(np.ascontiguousarray(pictures[at : at + size])) for at in range(0, most, size)
        ]
        size *= 2
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--most", type=int, default=4, help="pictures at once")
    parser.add_argument("--rounds", type=int, default=15)
    told = parser.parse_args()
    spec = ModelConfig(depth=6, width=40, increment=1.1).spec()
    with tempfile.TemporaryDirectory() as folder:
        export(models.build(spec.name, spec.parameters, seed=0), Path(folder), SIZE)
        runtime = OpenVINORuntime(Path(folder))
    processors = len(os.sched_getaffinity(0))
    walls: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    with ThreadPoolExecutor(processors) as threads:
        known = rivals(runtime, told.most, threads)
        for turn in range(told.rounds + 2):
            for name, work in known.items():
                wall, processor = time.perf_counter(), time.process_time()
                work()
                if turn >= 2:
                    walls.setdefault(name, []).append(time.perf_counter() - wall)
                    used.setdefault(name, []).append(time.process_time() - processor)
    print(f"{told.most} pictures, {processors} processors, {told.rounds} rounds; milliseconds a picture")
    for name, taken in walls.items():
        wall = 1000 * statistics.median(taken) / told.most
        processor = 1000 * statistics.median(used[name]) / told.most
        print(f"{name:24} {wall:8.2f} wall {processor:8.2f} processor")


if __name__ == "__main__":
    main()
