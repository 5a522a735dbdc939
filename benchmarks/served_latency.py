"""How long does a clinic wait for an answer? Ours against the same work called in process, and against plain BentoML
with PIL and PyTorch serving the same networks. Then: p50, p95 and answers a second for 1, 2 and 4 clients and
workers, and where the milliseconds of a request go, as a picture.

    python benchmarks/served_latency.py [--images 200] [--side 1200] [--bundle FOLDER] [--workers 1 2 4]
                                        [--clients 1 2 4] [--picture docs/images/request-milliseconds.svg]

Blocks of ours and the peer alternate, and ratios are taken within the run. Without --bundle two networks of the default
size are trained for a few steps on phantoms, so that a disc is found and the cup's network has work to do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import cv2
import httpx
import numpy as np
from parfocal_serving.segmenter import answer

from parfocal import phantoms
from parfocal.adapters.processes import Processes, answers, free_port, wait_until
from parfocal.core import manifest
from parfocal.core.reporting import Silent
from parfocal.core.untracked import UntrackedRun
from parfocal.inference.predictor import Predictor
from parfocal.phantoms.photograph import case
from parfocal.preprocessing.images import decode_image
from parfocal.steps import preprocess, train
from parfocal.steps.config import RunConfig

PEER = Path(__file__).parent / "peers" / "plain_bentoml.py"
BLOCK = 25


def make_bundle(work: Path) -> Path:
    """Networks of the default size, trained for seconds."""
    phantoms.write(work / "photos", "A", range(48), seed=0)
    config = RunConfig.load(overrides=["data.instrument=A", "train.steps=60", "train.batch_size=8"])
    preprocess.run(work / "photos", work / "data", config, champion=None, reporter=Silent())
    run = UntrackedRun()
    train.run(
        [work / "data"], work / "bundle", work / "memory", config,
        state=work / "state", key="benchmark", run=run, reporter=Silent(),  # type: ignore[arg-type]
    )  # fmt: skip
    return work / "bundle"


def photographs(number: int, side: int) -> list[bytes]:
    """JPEGs of `side` pixels on the longer side."""
    found = []
    for patient in range(number):
        image = case("A", 5000 + patient, 0).image
        factor = side / max(image.shape[:2])
        large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        found.append(cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return found


@contextmanager
def ours(work: Path, bundle: Path, workers: int) -> Iterator[str]:
    state = work / f"state-{workers}"
    place = state / "serving" / "fundus"
    place.mkdir(parents=True, exist_ok=True)
    current = {"task": "fundus", "version": "1", "checksum": manifest.read(bundle).checksum, "folder": str(bundle)}
    (place / "current.json").write_text(json.dumps(current))
    more = {"PARFOCAL_STATE": str(state), "PARFOCAL_SEGMENTER_WORKERS": str(workers), "PARFOCAL_OPEN": "1"}
    with served(work, "parfocal_serving.segmenter.service:Segmenter", more) as url:
        yield url


@contextmanager
def served(work: Path, service: str, more: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "BENTOML_HOME": str(work / f"home-{port}"), "BENTOML_DO_NOT_TRACK": "True", **more}
    with Processes(work / "logs") as processes:
        child = processes.start(f"service-{port}", command, environment)
        wait_until(lambda: answers(port, "/readyz"), child, 120)
        time.sleep(3)  # every worker, not only the first
        yield f"http://127.0.0.1:{port}"


def in_process(bundle: Path) -> Callable[[bytes], None]:
    """The same work without the service: decode, cascade, PNG masks, contours, ratios; measured is after an answer."""
    predictor = Predictor(bundle)

    def call(data: bytes) -> None:
        image = decode_image(data)
        found = predictor.predict(image)
        values = {"structures": answer.structures(found), **answer.ratios(found.masks)}
        values["quality"] = answer.quality(image, found, predictor.bundle)
        json.dumps(values)

    return call


def posting(url: str) -> Callable[[bytes], None]:
    client = httpx.Client(timeout=60)

    def call(data: bytes) -> None:
        reply = client.post(f"{url}/segment", files={"image": ("photo.jpg", data, "image/jpeg")})
        reply.raise_for_status()

    return call


def timed(call: Callable[[bytes], None], images: list[bytes]) -> list[float]:
    found = []
    for data in images:
        started = time.perf_counter()
        call(data)
        found.append(time.perf_counter() - started)
    return found


def together(url: str, images: list[bytes], clients: int) -> str:
    """Several clients at once, each sending its next picture when it has its answer."""
    calls = [posting(url) for _ in range(clients)]
    for call in calls:
        call(images[0])

    def one(job: tuple[int, bytes]) -> float:
        return timed(calls[job[0]], [job[1]])[0]

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        shares = [pool.submit(lambda n=n: [one((n, data)) for data in images[n::clients]]) for n in range(clients)]
        seconds = [value for share in shares for value in share.result()]
    rate = len(images) / (time.perf_counter() - started)
    low, high = np.percentile(seconds, [50, 95]) * 1e3
    return f"{low:7.1f} {high:7.1f} {rate:7.1f}"


def stages(url: str, images: list[bytes]) -> dict[str, float]:
    """Median milliseconds by stage, as the answers say; `http` is what the client waited beyond their total."""
    client, found = httpx.Client(timeout=60), []
    for data in images:
        started = time.perf_counter()
        reply = client.post(f"{url}/segment", files={"image": ("photo.jpg", data, "image/jpeg")})
        waited = 1e3 * (time.perf_counter() - started)
        said = reply.raise_for_status().json()["timing_ms"]
        total = said.pop("total")
        found.append({"upload": total - sum(said.values()), **said, "http": waited - total})
    return {name: float(median(one[name] for one in found)) for name in found[0]}


def draw(parts: dict[str, float], file: Path) -> None:
    """One bar, cut where a stage ends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.7), layout="constrained")
    axes = figure.subplots()
    left = 0.0
    for i, (name, value) in enumerate(parts.items()):
        axes.barh(0, value, left=left, color=f"C{i}", label=f"{name} {value:.2f}")
        left += value
    axes.set(yticks=[], xlabel="milliseconds", xlim=(0, left))
    figure.legend(loc="outside upper left", ncols=len(parts), frameon=False, fontsize=8)
    figure.savefig(file)


def turns(bundle: Path, mine: str, peer: str, images: list[bytes]) -> None:
    """Blocks of in process, ours and the peer by turns."""
    contenders = {"in process": in_process(bundle), "ours": posting(mine), "plain": posting(peer)}
    for call in contenders.values():
        timed(call, images[:5])
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for start in range(0, len(images), BLOCK):
        for name, call in contenders.items():
            seconds[name] += timed(call, images[start : start + BLOCK])
    for name, values in seconds.items():
        low, high = np.percentile(values, [50, 95]) * 1e3
        print(f"{name:<11} p50 {low:7.1f} ms   p95 {high:7.1f} ms")
    print(f"ours / in process, p50: {median(seconds['ours']) / median(seconds['in process']):.2f}  (reach: 1.2)")
    print(f"plain / ours, p50:      {median(seconds['plain']) / median(seconds['ours']):.2f}  (reach: 3)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=1200, help="pixels of the longer side")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--picture", type=Path, help="where the bar of a request's stages goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        bundle = (options.bundle or make_bundle(work)).resolve()
        images = photographs(options.images, options.side)
        print(f"{len(images)} JPEGs, longer side {options.side}, {np.mean([len(i) for i in images]) / 1e3:.0f} kB each")
        rows = []
        with served(work, f"{PEER}:Plain", {"BUNDLE": str(bundle)}) as peer:
            with ours(work, bundle, 1) as mine:
                turns(bundle, mine, peer, images)
                parts = stages(mine, images)
            rows += [f"plain   1 {clients:7} {together(peer, images, clients)}" for clients in options.clients]
        print("a request of ours, ms: " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
        if options.picture:
            draw(parts, options.picture)
        for workers in options.workers:
            with ours(work, bundle, workers) as mine:
                rows += [
                    f"ours {workers:4} {clients:7} {together(mine, images, clients)}" for clients in options.clients
                ]
        print("     workers clients  p50 ms  p95 ms  answers/s", *rows, sep="\n")


if __name__ == "__main__":
    main()
