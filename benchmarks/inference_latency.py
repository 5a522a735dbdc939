"""One picture through one network: OpenVINO as exported, against PyTorch and ONNX Runtime in float32, in turn.

    python benchmarks/inference_latency.py                          the 6 / 40 / 1.1 network, untrained
    python benchmarks/inference_latency.py --structure BUNDLE/disc  a trained one, with the agreement of its masks
    taskset -c 0 python benchmarks/inference_latency.py --threads 1 --processor-time    on a busy machine

The target (one picture, two cores): three times ONNX Runtime, and Dice agreement of at least 0.998. ONNX Runtime needs
`pip install -e .[onnx]`; without it its lines are left out. Rivals take turns within every round, so that a busy
machine slows all alike; ratios are of medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from parfocal import models, phantoms
from parfocal.core.errors import UsageError
from parfocal.core.task import task
from parfocal.inference.agreement import AGREEMENT, agreement
from parfocal.inference.runtimes import FAMILY, Runtime, network_input
from parfocal.inference.runtimes.openvino import FULL, HALF, OpenVINORuntime, export
from parfocal.inference.runtimes.pytorch import PyTorchRuntime
from parfocal.models import ModelConfig
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.images import decode_image

RECIPE = FundusRecipe()


def frames(structure: str, instruments: str, count: int) -> np.ndarray:
    """Frames of phantoms, uint8 [N, S, S, 3]; a structure inside another is looked for in the true one's box."""
    found = []
    for instrument in instruments:
        for patient in range(900, 900 + count):
            case = phantoms.case(instrument, patient, 7)
            image = decode_image(case.encode()[1])
            part = task("fundus").structure(structure)
            box = RECIPE.box(part, *image.shape[:2], case.masks.get(part.inside or ""))
            if box is not None:
                found.append(RECIPE.frame(image, box))
    return np.stack(found)


def plain_torch(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What one writes first: float32, eager, rows of pixels."""
    model = models.load(folder)

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(model(torch.from_numpy(batch))).numpy()

    return run


def onnx_runtime(folder: Path, scratch: Path, threads: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """What one writes first: the network with its sigmoid, and a session with one thread a core."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    file = scratch / "plain.onnx"
    network = torch.nn.Sequential(models.load(folder), torch.nn.Sigmoid()).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, RECIPE.size, RECIPE.size),), file, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def our_onnx_runtime(folder: Path, scratch: Path) -> Runtime | None:
    try:
        member = FAMILY.load("onnxruntime")
    except UsageError:
        return None
    member.export(models.load(folder), scratch, RECIPE.size)
    made: Runtime = member(scratch)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", type=Path, help="a structure's folder inside a bundle; its name says which")
    parser.add_argument("--instruments", default="AB", help="phantoms that agreement is measured on")
    parser.add_argument("--cases", type=int, default=20, help="phantoms an instrument")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--processor-time", action="store_true", help="of all threads, in place of the clock on the wall"
    )
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        compare(asked, Path(name))


def compare(asked: argparse.Namespace, scratch: Path) -> None:
    folder = asked.structure
    if folder is None:
        folder = scratch / "disc"
        spec = ModelConfig().spec()
        models.save(models.build(spec.name, spec.parameters), spec, folder)
    exports = {}
    for precision in HALF, FULL:
        (scratch / precision).mkdir()
        export(models.load(folder), scratch / precision, RECIPE.size, precision)
        exports[precision] = OpenVINORuntime(scratch / precision)
    rivals: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
        "OpenVINO, half precision": exports[HALF],
        "OpenVINO, float32": exports[FULL],
        "our PyTorch runtime": PyTorchRuntime(folder),
        "PyTorch float32, eager": plain_torch(folder),
        "ONNX Runtime float32": onnx_runtime(folder, scratch, asked.threads),
        "our ONNX Runtime runtime": our_onnx_runtime(folder, scratch),
    }
    images = frames(folder.name, asked.instruments, asked.cases)
    present = {name: run for name, run in rivals.items() if run is not None}
    clock = time.process_time if asked.processor_time else time.perf_counter
    medians = race(present, network_input(images), asked.rounds, clock)
    ours = medians["OpenVINO, half precision"]
    for name, seconds in medians.items():
        print(f"{name:26} {seconds * 1e3:7.2f} ms   {seconds / ours:5.2f} x ours")
    if asked.structure:
        for precision, runtime in exports.items():
            value = agreement(PyTorchRuntime(folder), runtime, network_input(images))
            print(f"agreement at {precision}: {value:.5f} on {len(images)} phantoms (least {AGREEMENT})")


def race(
    rivals: dict[str, Callable[[np.ndarray], np.ndarray]],
    batch: np.ndarray,
    rounds: int,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Median seconds a picture; each rival's first rounds are thrown away."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 5):
        picture = batch[turn % len(batch)][None]
        for name, run in rivals.items():
            run(picture)  # after its rivals have filled the caches with theirs
            started = clock()
            run(picture)
            times[name].append(clock() - started)
    return {name: statistics.median(seconds[5:]) for name, seconds in times.items()}


if __name__ == "__main__":
    main()
