"""How much faster is our Hausdorff distance and HD95 than SciPy's transform, a point-by-point SciPy, and MONAI?

    python benchmarks/hausdorff.py [--cases 12] [--rounds 7] [--side 480]

The same pairs of masks for all, in turn, in one process; rounds are interleaved, and the ratio is that of the medians.
Each entrant gives the Hausdorff distance and HD95 of a pair; the greatest difference from ours is printed beside it.
MONAI takes part where it is installed (`pip install 'parfocal[bench]'`); it needs two calls for the two numbers, and
the time of its HD95 alone is shown too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import cv2
import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist

from parfocal.evaluation import metrics

Pair = tuple[np.ndarray, np.ndarray]
Entrant = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


def pairs(count: int, side: int) -> list[Pair]:
    """Wavy discs and the same a little otherwise, as a good prediction is; radius a twelfth to a fifth of the side."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]

    def disc(row: float, column: float, radius: float, wave: float) -> np.ndarray:
        angle = np.arctan2(rows - row, columns - column)
        return np.hypot(rows - row, columns - column) < radius * (1 + 0.06 * np.sin(5 * angle + wave))

    made = []
    for _ in range(count):
        row, column = rng.uniform(0.3, 0.7, 2) * side
        radius, wave = rng.uniform(side / 12, side / 5), rng.uniform(0, 6)
        made.append((disc(row + 2, column - 3, radius * 1.05, wave + 1), disc(row, column, radius, wave)))
    return made


def scipy_transform(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    edges = [mask & ~binary_erosion(mask) for mask in (predicted, true)]
    there, back = distance_transform_edt(~edges[1])[edges[0]], distance_transform_edt(~edges[0])[edges[1]]
    return max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def every_point(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    table = cdist(*(np.argwhere(mask & ~binary_erosion(mask)) for mask in (predicted, true)))
    there, back = table.min(1), table.min(0)
    return max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def monai(hd95_only: bool) -> Entrant:
    import torch
    from monai.metrics import compute_hausdorff_distance

    def entrant(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
        a, b = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
        hd95 = float(compute_hausdorff_distance(a, b, include_background=True, percentile=95))
        return (np.nan if hd95_only else float(compute_hausdorff_distance(a, b, include_background=True))), hd95

    return entrant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=480, help="pixels")
    values = parser.parse_args()
    cv2.setNumThreads(1)
    entrants: dict[str, Entrant] = {
        "ours": metrics.hausdorff,
        "SciPy, distance transform": scipy_transform,
        "SciPy, every point with every other": every_point,
    }
    if find_spec("monai"):
        entrants |= {"MONAI, both": monai(hd95_only=False), "MONAI, HD95 alone": monai(hd95_only=True)}
    cases = pairs(values.cases, values.side)
    answers = {name: np.array([entrant(*pair) for pair in cases]) for name, entrant in entrants.items()}
    times: dict[str, list[float]] = {name: [] for name in entrants}
    for _ in range(values.rounds):
        for name, entrant in entrants.items():
            started = time.perf_counter()
            for pair in cases:
                entrant(*pair)
            times[name].append((time.perf_counter() - started) / len(cases))
    ours = statistics.median(times["ours"])
    print(f"{values.cases} pairs of {values.side} x {values.side}, Hausdorff distance and HD95, one thread of OpenCV")
    for name, taken in times.items():
        off = np.nanmax(abs(answers[name] - answers["ours"]))
        median = statistics.median(taken)
        print(f"{name:<38} {1000 * median:8.3f} ms a pair  {median / ours:7.2f} times ours  off by {off:.1e} pixels")
    started = time.perf_counter()
    for pair in cases:
        metrics.score_case(*pair)
    print(f"{'all our measures of a case':<38} {1000 * (time.perf_counter() - started) / len(cases):8.3f} ms")


if __name__ == "__main__":
    main()
