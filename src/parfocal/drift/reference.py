"""What drift is measured against: by instrument and stream a model of the usual, and held-out cases it never saw.

One file, `reference.npz`, beside the networks of a bundle (docs/adr/0010). "Held-out" means: by a model fitted without
that case. A detector learns nothing from the traffic
it judges: what it holds cases against is fixed when the bundle is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from parfocal.core.config import Config
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation
from parfocal.drift import FAMILY, Stream, archive, fitting, run_length
from parfocal.drift.mahalanobis import Model
from parfocal.drift.run_length import Threshold
from parfocal.drift.scoring import Scorer, Usual

__all__ = ["DriftConfig", "Reference", "Scorer", "fit", "read"]

VERSION = 1
FIELDS = ("mean", "scale", "axes", "variances")
"""Arrays of a model."""

Floats = NDArray[np.float64]


class DriftConfig(Config):
    """How drift is looked for; part of the run that makes a bundle, and fixed with it."""

    streams: tuple[str, ...] = Field(default=("appearance", "framing"), description="members of the family `drift`")
    components: int = Field(default=16, ge=1, description="principal components kept of a stream, at most")
    shrinkage: float = Field(default=0.1, gt=0, le=1, description="part by which variances are pulled to their mean")
    folds: int = Field(
        default=10, ge=2, le=100, description="parts; each is scored by a model that was fitted to the others"
    )
    k: float = Field(
        default=0.5, ge=0, description="allowance of the CUSUM, in standard deviations; half the shift to be found"
    )
    arl0: float = Field(
        default=20_000, gt=1, description="cases to a false alarm of one stream; its rate is averaged over references"
    )

    @field_validator("streams")
    @classmethod
    def _known(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        if not streams or len(set(streams)) < len(streams) or not set(streams) <= set(FAMILY):
            raise ValueError(f"{list(streams)}: expected at least one, each once, of {', '.join(FAMILY)}")
        return streams


@dataclass(frozen=True, eq=False)
class Reference:
    """Everything that cases are held against.

    Attributes:
        extractor: which network the embeddings come from.
        instruments: that are in it, sorted.
        streams: that are in it; one for which no instrument has usable cases is not.
        usual: by (instrument, stream).
        pooled: by stream, scores of all instruments' held-out cases against the nearest instrument, ascending.
        thresholds: by number of held-out cases.
        absent: why an instrument, or a whole stream, is not in it.
    """

    config: DriftConfig
    extractor: str
    instruments: tuple[str, ...]
    streams: tuple[str, ...]
    usual: Mapping[tuple[str, str], Usual]
    pooled: Mapping[str, Floats]
    thresholds: Mapping[int, Threshold]
    absent: Mapping[str, str]

    def scorer(self, instrument: str | None, stream: str) -> Scorer:
        """How cases of an instrument are scored: of a known one against itself, otherwise against the nearest.

        Raises:
            UsageError: the stream is not in the reference.
        """
        if stream not in self.streams:
            known = ", ".join(self.streams) or "none is"
            raise UsageError(f"stream '{stream}' is not in the drift reference", expected=f"of {known}")
        looks: Stream = FAMILY.load(stream)()
        if instrument is not None and instrument in self.instruments:
            own = self.usual[instrument, stream]
            return Scorer(looks, (own,), own.calibration, self.thresholds[len(own.calibration)])
        every = tuple(self.usual[name, stream] for name in self.instruments)
        pooled = self.pooled[stream]
        return Scorer(looks, every, pooled, self.thresholds[len(pooled)])

    def write(self, file: Path) -> None:
        """Write atomically; equal references give equal bytes."""
        arrays: dict[str, Floats] = {}
        for stream in self.streams:
            arrays[f"{stream}.pooled"] = self.pooled[stream]
            for place, name in enumerate(self.instruments):
                arrays |= _arrays(f"{stream}.{place}", self.usual[name, stream])
        header = {
            "version": VERSION,
            "config": self.config.model_dump(mode="json"),
            "extractor": self.extractor,
            "instruments": self.instruments,
            "streams": self.streams,
            "thresholds": [asdict(self.thresholds[size]) for size in sorted(self.thresholds)],
            "absent": dict(self.absent),
        }
        archive.write(file, header, arrays)


def fit(
    observations: Mapping[str, Sequence[Observation]], config: DriftConfig, *, extractor: str, seed: int
) -> Reference:
    """Fit a reference to cases on which nothing was trained.

    Each instrument's cases are dealt at random into folds, and each case calibrates a model that was fitted without its
    fold (cross-conformal prediction, Vovk 2015); the model that new cases are held against is fitted to all of them.
    The order in which they come makes no difference. An instrument with too few usable cases is left out; a reference
    without any instrument, and so without any stream, is possible, and `absent` says why.

    Args:
        observations: by instrument; ids are unique within one.
        config: streams, components, run length.
        extractor: which network the embeddings come from.
        seed: of the folds.
    """
    cases = {name: fitting.ordered(found) for name, found in sorted(observations.items())}
    seen = {stream: fitting.look(FAMILY.load(stream)(), cases, config.folds, seed) for stream in config.streams}
    streams, absent = fitting.usable(seen)
    names = tuple(name for name in cases if name not in absent)
    usual: dict[tuple[str, str], Usual] = {}
    pooled: dict[str, Floats] = {}
    for stream in streams:
        rows, resolution = [seen[stream][name] for name in names], FAMILY.load(stream).resolution
        fitted = [fitting.usual(one, config.components, config.shrinkage, resolution) for one in rows]
        usual |= {(name, stream): one for name, (one, _) in zip(names, fitted, strict=True)}
        pooled[stream] = fitting.pooled(fitted, rows)
    sizes = {len(one.calibration) for one in usual.values()} | {len(scores) for scores in pooled.values()}
    thresholds = {size: run_length.threshold(config.arl0, size, config.k) for size in sizes}
    return Reference(config, extractor, names, streams, usual, pooled, thresholds, absent)


def read(file: Path) -> Reference:
    """Read what `Reference.write` wrote.

    Raises:
        DataContractError: the file is missing, damaged, or of another version.
    """
    header, arrays = archive.read(file)
    try:
        found = _parse(header, arrays)
        for stream in found.streams:
            for name in (*found.instruments, None):
                found.scorer(name, stream)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise DataContractError(
            f"a drift reference does not hold what it should: {error}",
            where=file,
            expected=f"version {VERSION}",
            next="train or retrain makes a new one",
        ) from None
    return found


def _arrays(prefix: str, usual: Usual) -> dict[str, Floats]:
    found = {f"{prefix}.{name}": getattr(usual.model, name) for name in FIELDS}
    single = {"residual": usual.model.residual, "typical": usual.typical}
    return {
        **found,
        **{f"{prefix}.{name}": np.array(value) for name, value in single.items()},
        f"{prefix}.calibration": usual.calibration,
    }


def _parse(header: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Reference:
    if header["version"] != VERSION:
        raise ValueError(f"it is of version {header['version']}")
    instruments, streams = tuple(header["instruments"]), tuple(header["streams"])
    thresholds = [Threshold(**values) for values in header["thresholds"]]
    return Reference(
        config=DriftConfig.parse(header["config"], where="drift reference"),
        extractor=header["extractor"],
        instruments=instruments,
        streams=streams,
        usual={
            (name, stream): _usual(f"{stream}.{place}", arrays)
            for stream in streams
            for place, name in enumerate(instruments)
        },
        pooled={stream: arrays[f"{stream}.pooled"] for stream in streams},
        thresholds={threshold.reference_size: threshold for threshold in thresholds},
        absent=header["absent"],
    )


def _usual(prefix: str, arrays: Mapping[str, Floats]) -> Usual:
    mean, scale, axes, variances = (arrays[f"{prefix}.{name}"] for name in FIELDS)
    if axes.shape != (len(variances), len(mean)) or scale.shape != mean.shape:
        raise ValueError(f"arrays of {prefix} do not fit one another")
    model = Model(mean, scale, axes, variances, float(arrays[f"{prefix}.residual"]))
    return Usual(model, float(arrays[f"{prefix}.typical"]), arrays[f"{prefix}.calibration"])
