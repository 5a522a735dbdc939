"""From a click to the mask: how long does a person wait? The target is 50 ms on a CPU.

    python benchmarks/interactive_latency.py                 the 6 / 40 / 1.1 network with six channels, untrained
    python benchmarks/interactive_latency.py --model BUNDLE  a trained bundle that answers clicks

The whole call is timed: framing the photograph, click maps, the network, and the mask laid back at full size, after
1 to 5 clicks with the previous answer given back. Through OpenVINO as exported and the weights in PyTorch, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from parfocal import models, phantoms
from parfocal.augmentation.clicks import Click
from parfocal.core.task import Structure
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.runtimes.openvino import OpenVINORuntime, export
from parfocal.inference.runtimes.pytorch import PyTorchRuntime
from parfocal.models import ModelConfig
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.images import decode_image

TARGET = 0.050


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
    asked = parser.parse_args()
    source = decode_image(phantoms.case("A", 900, 7).encode()[1])
    with tempfile.TemporaryDirectory() as scratch:
        entrants = rivals(asked.model, Path(scratch))
        threads = f"{torch.get_num_threads()} threads in PyTorch, {cv2.getNumThreads()} in OpenCV"
        print(f"a click to its mask, {5 * asked.rounds} clicks each, {threads}; target {TARGET * 1e3:.0f} ms")
        for side in asked.sides:
            scale = side / max(source.shape[:2])
            image = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
            for name, seconds in waits(entrants, image, asked.rounds, np.random.default_rng(0)).items():
                p95 = statistics.quantiles(seconds, n=20)[-1]
                reached = "reached" if p95 < TARGET else "missed"
                print(
                    f"{image.shape[1]:5} x {image.shape[0]:<5} {name:9} p50 {statistics.median(seconds) * 1e3:6.1f} ms"
                    f"   p95 {p95 * 1e3:6.1f} ms   {reached}"
                )


if __name__ == "__main__":
    main()
