"""How much faster are our Models Genesis distortions than the published loops, each alone and all together?

    python benchmarks/genesis.py [--seconds 40] [--quick] [--pictures 16] [--side 128]

Ours draws and applies, on uint8, as training does. The loops (benchmarks/peers/genesis_loops.py) get the same pictures
as float in [0, 1] already. Both in one process, in turn, on one thread of OpenCV. The mean change of a picture in grey
levels is printed beside each pair: the two do the same amount. Our pool of shuffles is made before; its price is said.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from kit.turns import Times, in_turn, ratio, timed
from peers import genesis_loops as loops

from parfocal import phantoms
from parfocal.augmentation import distortion
from parfocal.augmentation.distortion import DistortionConfig

OFF = {"non_linear": 0.0, "paint": 0.0, "shuffle": 0.0, "flip": 0.0}
Loop = Callable[[np.ndarray], np.ndarray]


def entrants(points: int) -> dict[str, tuple[DistortionConfig, Loop]]:
    """Ours as settings, theirs as a function of one picture."""
    windows = DistortionConfig().windows
    alone: dict[str, tuple[dict[str, float], Loop]] = {
        "intensity, curve of 100,000 points": ({"non_linear": 1}, loops.toned),
        "intensity, curve of 1,000 points": ({"non_linear": 1}, partial(loops.toned, points=1000)),
        "local shuffling": ({"shuffle": 1}, partial(loops.shuffled, windows=windows)),
        "in-painting": ({"paint": 1, "outpaint": 0}, loops.painted),
        "out-painting": ({"paint": 1, "outpaint": 1}, loops.painted_outside),
    }
    found = {name: (DistortionConfig.model_validate({**OFF, **on}), loop) for name, (on, loop) in alone.items()}
    together = partial(loops.distorted, windows=windows, points=points)
    return found | {"together, at the published rates": (DistortionConfig(), together)}


def frames(count: int, side: int) -> np.ndarray:
    """Phantom photographs, uint8 [N, side, side, 3]."""
    images = (phantoms.case("A", 700 + i, 0).image for i in range(count))
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def fast(images: np.ndarray, config: DistortionConfig, rng: np.random.Generator) -> list[np.ndarray]:
    drawn = distortion.draw(config, rng, len(images), images.shape[1])
    return [distortion.apply(image, one) for image, one in zip(images, drawn, strict=True)]


def compare(name: str, config: DistortionConfig, loop: Loop, images: np.ndarray, seconds: float) -> None:
    rng, floats = np.random.default_rng(0), (images / 255).astype(np.float32)
    times: Times = in_turn(
        {
            "ours": timed(lambda: fast(images, config, rng), len(images)),
            "loops": timed(lambda: [loop(picture) for picture in floats], len(images)),
        },
        seconds,
    )
    mine = np.mean([np.abs(np.stack(fast(images, config, rng)).astype(int) - images) for _ in range(8)])
    theirs = np.mean([np.abs(loop(picture) - picture) for _ in range(8) for picture in floats]) * 255
    ours, peer = (1e3 * float(np.median(times[key])) for key in ("ours", "loops"))
    print(
        f"{name:<36} ours {ours:7.4f} ms   loops {peer:8.3f} ms   ratio {ratio(times['loops'], times['ours'])}"
        f"   changed by {mine:.0f} and {theirs:.0f} grey levels"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="of all comparisons together")
    parser.add_argument("--quick", action="store_true", help="3 seconds: shows that it runs")
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--points", type=int, default=loops.CURVE_POINTS, help="of the loops' curve, in the last line")
    values = parser.parse_args()
    cv2.setNumThreads(1)
    images, pairs = frames(values.pictures, values.side), entrants(values.points)
    started = time.perf_counter()
    every = distortion.draw(DistortionConfig.model_validate({**OFF, "shuffle": 1}), np.random.default_rng(0), 4000, 128)
    for one in {one.shuffle: one for one in every}.values():  # so many draws have all of the pool among them
        distortion.apply(images[0], distortion.Distortion(shuffle=one.shuffle))
    print(f"{len(images)} phantoms of {values.side} x {values.side}, milliseconds a picture;", end=" ")
    print(f"our pool of shuffles took {time.perf_counter() - started:.1f} s once; aim: 10")
    for name, (config, loop) in pairs.items():
        compare(name, config, loop, images, (3 if values.quick else values.seconds) / len(pairs))


if __name__ == "__main__":
    main()
