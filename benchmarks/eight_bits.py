"""Does an export in eight bits pay? int8 against half precision and float32, in turn, with the agreement of its masks.

    python benchmarks/eight_bits.py --bundle BUNDLE --dataset DATASET --structure disc
    taskset -c 0 python benchmarks/eight_bits.py ... --processor-time      on a busy machine: one core

Needs `pip install nncf==3.4.0`, which nothing else here does. NNCF quantises the float32 export after training: ranges
come from pictures of the training side, agreement from those of the validation side, as for every export. "up to 16 px
in half" leaves the deep levels in half precision, where a map's side is at most that; they cost little. Dice with the
labels shows whether masks that are not the weights' masks are worse ones.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from kit.turns import Turn, in_turn, show

from parfocal import models
from parfocal.core.errors import UsageError
from parfocal.inference.agreement import AGREEMENT, agreement
from parfocal.inference.runtimes import network_input
from parfocal.inference.runtimes.openvino import FULL, HALF, OpenVINORuntime, export
from parfocal.inference.runtimes.pytorch import CPU, PyTorchRuntime
from parfocal.preprocessing.shards import Arrays, read_arrays

ENTRANTS: dict[str, tuple[str, int, int]] = {
    "int8, preset performance": ("performance", 0, 0),
    "int8, preset mixed": ("mixed", 0, 0),
    "int8, last 3 in half": ("mixed", 0, 3),
    "int8, up to 16 px in half": ("mixed", 16, 0),
    "int8, up to 32 px in half": ("mixed", 32, 0),
    "int8, up to 64 px in half": ("mixed", 64, 0),
    "int8, 32 px and last 3 in half": ("mixed", 32, 3),
}
"""NNCF's preset; side of the largest map, and how many convolutions before the output, that keep half precision."""


def quantised(folder: Path, pictures: np.ndarray, out: Path, preset: str, side: int, last: int) -> OpenVINORuntime:
    """The float32 export of `folder` in eight bits, with the ranges of these pictures, float32 [N, 3, S, S]."""
    nncf = _nncf()
    graph = openvino.Core().read_model(folder / OpenVINORuntime.file)
    kinds = "Convolution", "ConvolutionBackpropData"
    layers = [one for one in graph.get_ordered_ops() if one.get_type_name() in kinds]
    kept = {one.friendly_name for one in layers if one.get_output_partial_shape(0)[-1].get_length() <= side}
    kept |= {one.friendly_name for one in layers[len(layers) - last :]}
    made = nncf.quantize(
        graph,
        nncf.Dataset([one[None] for one in pictures]),
        preset=nncf.QuantizationPreset(preset),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(names=sorted(kept), types=["ReduceMean"] if kept else []),
    )
    made.set_rt_info(HALF, ["parfocal", "precision"])  # of what is not in eight bits
    out.mkdir()
    openvino.save_model(made, out / OpenVINORuntime.file, compress_to_fp16=False)
    return OpenVINORuntime(out)


def _nncf() -> Any:
    try:
        import nncf
    except ModuleNotFoundError:
        raise UsageError("nothing here can write eight bits: NNCF is missing", next="pip install nncf==3.4.0") from None
    nncf.set_log_level(logging.ERROR)
    return nncf


def entrants(network: Path, pictures: np.ndarray, scratch: Path) -> dict[str, OpenVINORuntime]:
    """Every export of the network, in its own folder."""
    found = {}
    for name, precision in ("half precision", HALF), ("float32", FULL):
        (scratch / precision).mkdir()
        export(models.load(network), scratch / precision, pictures.shape[-1], precision)
        found[name] = OpenVINORuntime(scratch / precision)
    for name, settings in ENTRANTS.items():
        found[name] = quantised(scratch / FULL, pictures, scratch / name, *settings)
    return found


def dice(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, masks: np.ndarray) -> float:
    """Mean Dice with the labels."""
    return agreement(run, _labels(inputs, masks), inputs)


def _labels(inputs: np.ndarray, masks: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    known = {one.tobytes(): mask for one, mask in zip(inputs, masks, strict=True)}
    return lambda batch: np.stack([known[one.tobytes()] for one in batch])[:, None].astype(np.float32)


def turn(run: OpenVINORuntime, pictures: np.ndarray, clock: Callable[[], float]) -> Turn:
    """Some pictures, one call each, after one that fills the caches."""

    def take() -> float:
        run(pictures[:1])
        started = clock()
        for one in pictures:
            run(one[None])
        return (clock() - started) / len(pictures)

    return take


def arrays(dataset: Path, structure: str, side: str) -> Arrays:
    found = read_arrays(dataset, structure, side)
    if found is None:
        raise UsageError(f"no pictures with masks of {structure} on the side {side}", where=str(dataset))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="a trained one: without it nothing is asked, as in `make bench`")
    parser.add_argument("--dataset", type=Path, help="that the bundle has learned from")
    parser.add_argument("--structure", default="disc")
    parser.add_argument("--pictures", type=int, default=60, help="of the training side, for the ranges")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--processor-time", action="store_true", help="in place of the clock on the wall")
    told = parser.parse_args()
    if told.bundle is None or told.dataset is None:
        print("left out: agreement is asked of a trained network, with --bundle BUNDLE --dataset DATASET")
        return
    try:
        compare(told)
    except UsageError as error:
        sys.exit(str(error))


def compare(told: argparse.Namespace) -> None:
    _nncf()
    train = network_input(arrays(told.dataset, told.structure, "train").image[: told.pictures])
    held_out = arrays(told.dataset, told.structure, "validation")
    inputs = network_input(held_out.image)
    weights = PyTorchRuntime(told.bundle / told.structure, CPU)
    clock = time.process_time if told.processor_time else time.perf_counter
    with tempfile.TemporaryDirectory() as name:
        runs = entrants(told.bundle / told.structure, train, Path(name))
        times = in_turn({name: turn(run, inputs[:4], clock) for name, run in runs.items()}, told.seconds)
    print(f"{told.structure}: ranges of {len(train)} training pictures, masks of {len(inputs)} validation pictures")
    show(times, "half precision", "ms")
    print(f"agreement with the weights (least {AGREEMENT}), and Dice with the labels")
    for name, run in {"weights": weights, **runs}.items():
        print(f"{name:<28} {agreement(weights, run, inputs):.5f}  {dice(run, inputs, held_out.mask):.4f}")


if __name__ == "__main__":
    main()
