"""What drift is measured against: by instrument and stream a model of the usual, and held-out cases it never saw.

One file, `reference.npz`, beside the networks of a bundle (docs/adr/0010). "Held-out" means: by a model fitted without
that case. A detector learns nothing from the traffic
it judges: what it holds cases against is fixed when the bundle is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation
from parfocal.drift import answers, archive, fitting, mmd_threshold, packing, run_length
from parfocal.drift import flips as disagreement
from parfocal.drift import quality as qualities
from parfocal.drift import stream as look
from parfocal.drift.config import DriftConfig
from parfocal.drift.mmd_threshold import Detector
from parfocal.drift.quality import Quality
from parfocal.drift.run_length import Threshold
from parfocal.drift.scoring import Scorer, Usual

__all__ = ["DriftConfig", "Reference", "Scorer", "fit", "read"]

VERSION = 1
WINDOWED = "appearance"
"""The stream whose newest cases are held against the reference together, too."""

Floats = NDArray[np.float64]


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
        windows: by instrument, the second look at appearance; absent with fewer than 100 usable cases.
        quality: by structure, what predicts its Dice; absent with fewer than 40 labelled cases.
        flips: by instrument, disagreements under a flip, ascending; absent with fewer than 20 cases that have one.
    """

    config: DriftConfig
    extractor: str
    instruments: tuple[str, ...]
    streams: tuple[str, ...]
    usual: Mapping[tuple[str, str], Usual]
    pooled: Mapping[str, Floats]
    thresholds: Mapping[int, Threshold]
    absent: Mapping[str, str]
    windows: Mapping[str, Detector] = field(default_factory=dict)
    quality: Mapping[str, Quality] = field(default_factory=dict)
    flips: Mapping[str, Floats] = field(default_factory=dict)

    def scorer(self, instrument: str | None, stream: str) -> Scorer:
        """How cases of an instrument are scored: of a known one against itself, otherwise against the nearest.

        Raises:
            UsageError: the stream is not in the reference.
        """
        if stream not in self.streams:
            known = ", ".join(self.streams) or "none is"
            raise UsageError(f"stream '{stream}' is not in the drift reference", expected=f"of {known}")
        looks = look(stream)
        if instrument is not None and instrument in self.instruments:
            own = self.usual[instrument, stream]
            flips = self._flips(stream, (instrument,))
            return Scorer(looks, (own,), own.calibration, self.thresholds[len(own.calibration)], flips)
        every = tuple(self.usual[name, stream] for name in self.instruments)
        pooled = self.pooled[stream]
        flips = self._flips(stream, self.instruments)
        return Scorer(looks, every, pooled, self.thresholds[len(pooled)], flips)

    def _flips(self, stream: str, instruments: Sequence[str]) -> Floats:
        """Disagreements under a flip that stand beside a stream, of the instruments that have them."""
        found = [self.flips[name] for name in instruments if name in self.flips]
        return np.sort(np.concatenate(found)) if stream == disagreement.STREAM and found else np.zeros(0)

    def features(self, instrument: str | None, observations: Sequence[Observation]) -> Floats:
        """What a Dice is predicted from, [N, F]: how the answer looks, and the logarithms of the distances."""
        looks = None
        if answers.LOOKS in self.streams:
            width = self.usual[self.instruments[0], answers.LOOKS].width
            looks = look(answers.LOOKS).vectors(observations, width)
        near = {name: self.scorer(instrument, name) for name in answers.DISTANCES if name in self.streams}
        return answers.features(looks, {name: one.scores(observations) for name, one in near.items()})

    def write(self, file: Path) -> None:
        """Write atomically; equal references give equal bytes."""
        arrays: dict[str, Floats] = {}
        for stream in self.streams:
            arrays[f"{stream}.pooled"] = self.pooled[stream]
            for place, name in enumerate(self.instruments):
                arrays |= packing.usual_arrays(f"{stream}.{place}", self.usual[name, stream])
        for name, detector in self.windows.items():
            arrays |= packing.detector_arrays(f"window.{self.instruments.index(name)}", detector)
        for name, quality in self.quality.items():
            arrays |= {f"quality.{name}.{key}": array for key, array in quality.arrays().items()}
        arrays |= {f"flips.{self.instruments.index(name)}": found for name, found in self.flips.items()}
        header = {
            "version": VERSION,
            "config": self.config.model_dump(mode="json"),
            "extractor": self.extractor,
            "instruments": self.instruments,
            "streams": self.streams,
            "thresholds": [asdict(self.thresholds[size]) for size in sorted(self.thresholds)],
            "absent": dict(self.absent),
            "windows": {name: packing.detector_header(one) for name, one in self.windows.items()},
            "quality": sorted(self.quality),
        }
        archive.write(file, header, arrays)


def fit(
    observations: Mapping[str, Sequence[Observation]],
    config: DriftConfig,
    *,
    extractor: str,
    seed: int,
    dice: answers.Dice | None = None,
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
        dice: by instrument and id of the cases that are labelled, the true Dice by structure.
    """
    cases = {name: fitting.ordered(found) for name, found in sorted(observations.items())}
    seen = {stream: fitting.look(look(stream), cases, config.folds, seed) for stream in config.streams}
    streams, absent = fitting.usable(seen)
    names = tuple(name for name in cases if name not in absent)
    usual: dict[tuple[str, str], Usual] = {}
    pooled: dict[str, Floats] = {}
    held_out: dict[tuple[str, str], Floats] = {}
    for stream in streams:
        rows = [seen[stream][name] for name in names]
        looks = look(stream)
        fitted = [fitting.usual(one, looks, config.components, config.shrinkage) for one in rows]
        usual |= {(name, stream): one for name, (one, _) in zip(names, fitted, strict=True)}
        held_out |= {(name, stream): scores for name, (_, scores) in zip(names, fitted, strict=True)}
        pooled[stream] = fitting.pooled(fitted, rows)
    sizes = {len(one.calibration) for one in usual.values()} | {len(scores) for scores in pooled.values()}
    arl0 = config.declared(len(streams) + (WINDOWED in streams))
    thresholds = {size: run_length.threshold(arl0, size, config.k) for size in sizes}
    windows = {
        name: found
        for name in (names if WINDOWED in streams else ())
        if (found := mmd_threshold.detector(
            seen[WINDOWED][name].rows, window=config.window, arl0=arl0, components=config.components,
            shrinkage=config.shrinkage, seed=seed,
        )) is not None
    }  # fmt: skip
    features = {
        name: answers.features(
            seen[answers.LOOKS][name].rows if answers.LOOKS in streams else None,
            {stream: held_out[name, stream] for stream in streams},
        )
        for name in (names if dice else ())
    }
    quality = answers.fitted(features, cases, dice or {}, seed)
    mirrored = {name: disagreement.calibration(cases[name]) for name in names}
    flips = {name: known for name, known in mirrored.items() if len(known)}
    return Reference(config, extractor, names, streams, usual, pooled, thresholds, absent, windows, quality, flips)


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
            (name, stream): packing.usual(f"{stream}.{place}", arrays)
            for stream in streams
            for place, name in enumerate(instruments)
        },
        pooled={stream: arrays[f"{stream}.pooled"] for stream in streams},
        thresholds={threshold.reference_size: threshold for threshold in thresholds},
        absent=header["absent"],
        windows={
            name: packing.detector(f"window.{instruments.index(name)}", arrays, values)
            for name, values in header.get("windows", {}).items()  # references from before had none
        },
        quality={name: qualities.quality(_under(f"quality.{name}.", arrays)) for name in header.get("quality", [])},
        flips={name: arrays[key] for i, name in enumerate(instruments) if (key := f"flips.{i}") in arrays},
    )


def _under(prefix: str, arrays: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
