"""From a click to the mask: how long does a person wait? The target is 50 ms on a CPU.

    python benchmarks/interactive_latency.py                 the 6 / 40 / 1.1 network with six channels, untrained
    python benchmarks/interactive_latency.py --model BUNDLE  a trained bundle that answers clicks
    python benchmarks/interactive_latency.py --served        over HTTP: POST /refine of a segmenter on this machine

The whole call is timed: framing the photograph, click maps, the network, and the mask laid back at full size, after
1 to 5 clicks with the previous answer given back. Through OpenVINO as exported and the weights in PyTorch, in turn.
Served, the picture is sent once and then named as a case, the previous mask goes up and the new one comes down as PNG,
and the client decodes it; there the target is 100 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from parfocal import models, phantoms
from parfocal.adapters.processes import Processes, answers, free_port, wait_until
from parfocal.augmentation.clicks import Click
from parfocal.client import Click as Pressed
from parfocal.client import Client
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Clicked, Exported, StructureModel
from parfocal.core.task import Structure
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.runtimes.openvino import OpenVINORuntime, export
from parfocal.inference.runtimes.pytorch import PyTorchRuntime
from parfocal.models import ModelConfig
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.images import decode_image

TARGET, SERVED = 0.050, 0.100


def rivals(bundle: Path | None, scratch: Path) -> dict[str, InteractivePredictor]:
    if bundle is not None:
        return {name: InteractivePredictor(bundle, runtime=name) for name in ("openvino", "pytorch")}
    recipe = FundusRecipe()
    spec = ModelConfig().spec(in_channels=6)
    network = models.build(spec.name, spec.parameters)
    models.save(network, spec, scratch)
    export(network, scratch, recipe.size, channels=6)
    made = {"openvino": OpenVINORuntime(scratch), "pytorch": PyTorchRuntime(scratch)}
    disc = Structure("disc")
    return {name: InteractivePredictor.from_network(runtime, disc, recipe) for name, runtime in made.items()}


def untrained(folder: Path) -> Path:
    """A sealed bundle of the untrained network, for the disc."""
    recipe, spec = FundusRecipe(), ModelConfig().spec(in_channels=6)
    exported = {"openvino": Exported(file=OpenVINORuntime.file, agreement=1.0)}
    disc = StructureModel(folder="disc", runtimes=exported, objective="interact", clicks=Clicked())
    made = Bundle(task="fundus", structures={"disc": disc}, recipe=recipe.model_dump(), instruments=("A",), datasets=())
    with manifest.new_folder(folder, "bundle") as scratch:
        (scratch / "disc").mkdir()
        network = models.build(spec.name, spec.parameters)
        models.save(network, spec, scratch / "disc")
        export(network, scratch / "disc", recipe.size, channels=6)
        (scratch / BUNDLE).write_text(made.model_dump_json())
    return folder


@contextmanager
def served(work: Path, bundle: Path) -> Iterator[str]:
    """The address of a segmenter without a champion, which answers clicks all the same."""
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "parfocal_serving.segmenter.service:Segmenter",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    environment = {**os.environ, "BENTOML_HOME": str(work / "home"), "BENTOML_DO_NOT_TRACK": "True",
                   "PARFOCAL_STATE": str(work / "state"), "PARFOCAL_CLICKS_MODEL": str(bundle),
                   "PARFOCAL_OPEN": "1"}  # fmt: skip
    with Processes(work / "logs") as processes:
        child = processes.start("segmenter", command, environment)
        wait_until(lambda: answers(port, "/livez"), child, 120)
        yield f"http://127.0.0.1:{port}"


def served_waits(client: Client, image: np.ndarray, rounds: int, rng: np.random.Generator) -> list[float]:
    """Seconds of every answer but a picture's first, which brings the picture; the first round is thrown away."""
    times: list[float] = []
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    height, width = image.shape[:2]
    for turn in range(rounds + 1):
        places = rng.uniform(0.3, 0.7, (5, 2)) * (height, width)
        clicks = [Pressed(int(row), int(column), i % 2 == 0) for i, (row, column) in enumerate(places)]
        before = client.refine("disc", [], image=data)
        for count in range(1, len(clicks) + 1):
            started = time.perf_counter()
            before = client.refine("disc", clicks[:count], case=before.case, previous=before.found.mask)
            before.found.pixels()
            if turn:
                times.append(time.perf_counter() - started)
    return times


def tell(image: np.ndarray, name: str, seconds: list[float], target: float) -> None:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    reached = "reached" if p95 < target else "missed"
    print(
        f"{image.shape[1]:5} x {image.shape[0]:<5} {name:9} p50 {statistics.median(seconds) * 1e3:6.1f} ms"
        f"   p95 {p95 * 1e3:6.1f} ms   {reached}"
    )


def waits(
    entrants: dict[str, InteractivePredictor], image: np.ndarray, rounds: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Seconds of every answer; the first round is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in entrants}
    height, width = image.shape[:2]
    for turn in range(rounds + 1):
        places = rng.uniform(0.3, 0.7, (5, 2)) * (height, width)
        clicks = [Click(int(row), int(column), bool(i % 2 == 0)) for i, (row, column) in enumerate(places)]
        for name, predictor in entrants.items():
            previous = None
            for count in range(1, len(clicks) + 1):
                started = time.perf_counter()
                previous = predictor.predict(image, clicks[:count], previous).probability
                if turn:
                    times[name].append(time.perf_counter() - started)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle that answers clicks")
    parser.add_argument("--rounds", type=int, default=20, help="cases of five clicks")
    parser.add_argument("--sides", type=int, nargs="+", default=[640, 2048], help="pixels, longer side of photographs")
    parser.add_argument("--served", action="store_true", help="over HTTP")
    asked = parser.parse_args()
    source = decode_image(phantoms.case("A", 900, 7).encode()[1])
    pictures = [cv2.resize(source, None, fx=side / max(source.shape[:2]), fy=side / max(source.shape[:2]))
                for side in asked.sides]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        if asked.served:
            bundle = asked.model.resolve() if asked.model else untrained(Path(scratch) / "bundle")
            print(f"a click to its mask over HTTP, {5 * asked.rounds} clicks each; target {SERVED * 1e3:.0f} ms")
            with served(Path(scratch), bundle) as url, Client(url) as client:
                for image in pictures:
                    tell(image, "served", served_waits(client, image, asked.rounds, np.random.default_rng(0)), SERVED)
            return
        entrants = rivals(asked.model, Path(scratch))
        threads = f"{torch.get_num_threads()} threads in PyTorch, {cv2.getNumThreads()} in OpenCV"
        print(f"a click to its mask, {5 * asked.rounds} clicks each, {threads}; target {TARGET * 1e3:.0f} ms")
        for image in pictures:
            for name, seconds in waits(entrants, image, asked.rounds, np.random.default_rng(0)).items():
                tell(image, name, seconds, TARGET)


if __name__ == "__main__":
    main()
