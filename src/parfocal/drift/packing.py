"""The parts of a reference as plain arrays with names, and back: what `archive` writes and reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.drift.frequency import Frequency
from parfocal.drift.mahalanobis import Model
from parfocal.drift.mmd import Sample
from parfocal.drift.mmd_threshold import Detector
from parfocal.drift.scoring import Usual

FIELDS = ("mean", "scale", "axes", "variances")
"""Arrays of a model."""

Floats = NDArray[np.float64]
Arrays = Mapping[str, Floats]


def usual_arrays(prefix: str, usual: Usual) -> dict[str, Floats]:
    """Arrays of what is usual, each name after `prefix` and a dot."""
    found = _model_arrays(prefix, usual.model)
    for place, category in enumerate(usual.categories):
        found |= {
            f"{prefix}.category{place}.values": category.values,
            f"{prefix}.category{place}.counts": category.counts,
        }
    return {**found, f"{prefix}.typical": np.array(usual.typical), f"{prefix}.calibration": usual.calibration}


def usual(prefix: str, arrays: Arrays) -> Usual:
    """From `usual_arrays`.

    Raises:
        KeyError, ValueError: they are not those.
    """
    names = (f"{prefix}.category{place}" for place in range(len(arrays)))
    categories = []
    for name in names:
        if f"{name}.values" not in arrays:
            break
        categories.append(Frequency(arrays[f"{name}.values"], arrays[f"{name}.counts"]))
    calibration = arrays[f"{prefix}.calibration"]
    return Usual(_model(prefix, arrays), float(arrays[f"{prefix}.typical"]), calibration, tuple(categories))


def detector_arrays(prefix: str, detector: Detector) -> dict[str, Floats]:
    """Arrays of a detector, each name after `prefix` and a dot; `detector_header` has the rest."""
    single = {"bandwidth": detector.reference.bandwidth, "within": detector.reference.within}
    return {
        **_model_arrays(prefix, detector.model),
        f"{prefix}.rows": detector.reference.rows,
        f"{prefix}.blocks": detector.blocks,
        f"{prefix}.highest": detector.highest,
        **{f"{prefix}.{name}": np.array(value) for name, value in single.items()},
    }


def detector_header(detector: Detector) -> dict[str, Any]:
    """Settings of a detector as JSON."""
    names = ("window", "threshold", "arl0", "held_out", "reason")
    return {name: getattr(detector, name) for name in names}


def detector(prefix: str, arrays: Arrays, header: Mapping[str, Any]) -> Detector:
    """From `detector_arrays` and `detector_header`.

    Raises:
        KeyError, TypeError, ValueError: they are not those.
    """
    model, rows = _model(prefix, arrays), arrays[f"{prefix}.rows"]
    if rows.ndim != 2 or rows.shape[1] != len(model.axes):
        raise ValueError(f"arrays of {prefix} do not fit one another")
    sample = Sample(rows, float(arrays[f"{prefix}.bandwidth"]), float(arrays[f"{prefix}.within"]))
    none = np.zeros(0)  # references from before these were kept have none
    blocks, highest = arrays.get(f"{prefix}.blocks", none), arrays.get(f"{prefix}.highest", none.reshape(0, 0))
    if highest.ndim != 2 or len(highest) != len(blocks):
        raise ValueError(f"arrays of {prefix} do not fit one another")
    return Detector(model, sample, **header, blocks=blocks, highest=highest)


def _model_arrays(prefix: str, model: Model) -> dict[str, Floats]:
    found = {f"{prefix}.{name}": getattr(model, name) for name in FIELDS}
    return {**found, f"{prefix}.residual": np.array(model.residual)}


def _model(prefix: str, arrays: Arrays) -> Model:
    mean, scale, axes, variances = (arrays[f"{prefix}.{name}"] for name in FIELDS)
    if axes.shape != (len(variances), len(mean)) or scale.shape != mean.shape:
        raise ValueError(f"arrays of {prefix} do not fit one another")
    return Model(mean, scale, axes, variances, float(arrays[f"{prefix}.residual"]))
