"""Which champion answers, and what its cases are held against: read from the folder that the follower keeps."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core.bundle import REFERENCE
from parfocal.core.errors import ParfocalError
from parfocal.core.manifest import sha256
from parfocal.core.types import Interval, Observation
from parfocal.drift import reference, run_length
from parfocal.drift.cusum import normal_scores
from parfocal.drift.reference import WINDOWED, Reference, Scorer

WINDOW = f"{WINDOWED}-window"
"""Name of the detector that looks at the newest cases of an instrument together."""
KEPT = 4
"""References in memory: the champion's, and those of requests that are still on their way."""
SEARCH_SECONDS = 1.0
"""Between two searches of the bundles for a reference that was not there."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Champion:
    """The bundle that answers now, as the follower wrote it down; `reference_id` is "" for one without a reference."""

    version: str
    checksum: str
    folder: str
    uri: str
    since: str
    reference_id: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What a stream's statistic is held against.

    Attributes:
        threshold: of the statistic; inf where the reference is too small to promise anything.
        k: what the statistic loses a case, in standard deviations.
        arl0: cases between two false alarms, averaged over references; `low` and `high` are its 5 and 95 % points.
        calibration_size: held-out cases behind it.
        reason: why there is no threshold; "" when there is one.
    """

    threshold: float
    k: float
    arl0: float
    low: float
    high: float
    calibration_size: int
    reason: str = ""


class Judge:
    """One reference, its scorers made once each."""

    def __init__(self, read: Reference, arl0: float | None) -> None:
        self.reference, self._arl0 = read, arl0
        self._scorers: dict[tuple[str | None, str], Scorer] = {}
        self.instruments = frozenset(read.instruments)
        self.streams = read.streams
        self.windows = {
            name: window if arl0 is None else window.declaring(arl0) for name, window in read.windows.items()
        }

    def watches(self, instrument: str) -> tuple[str, ...]:
        """Names of the detectors that look at an instrument's cases."""
        return (*self.streams, *([WINDOW] if instrument in self.windows else []))

    def scores(self, instrument: str, stream: str, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """Normal scores [N]: large where a case is unlike the reference."""
        return normal_scores(self._scorer(instrument, stream).p_values(observations))

    def limit(self, instrument: str, stream: str) -> Limit:
        """The threshold, for the run length that the reference or this installation declares.

        That of a window is the reference's own where the reference is from before it kept what that takes.
        """
        if stream == WINDOW:
            window = self.windows[instrument]
            size = window.held_out
            return Limit(window.threshold, 0.0, window.arl0, math.nan, math.nan, size, window.reason)
        scorer = self._scorer(instrument, stream)
        k, size = self.reference.config.k, scorer.calibration_size
        found = scorer.threshold if self._arl0 is None else run_length.threshold(self._arl0, size, k)
        return Limit(found.h, k, found.arl0, found.low, found.high, size, found.reason)

    def coordinates(self, instrument: str, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """Rows for an instrument's window [M, C], of those cases that can be measured."""
        scorer = self._scorer(instrument, WINDOWED)
        return self.windows[instrument].coordinates(scorer.stream.vectors(observations, scorer.usual[0].width))

    @property
    def predicts(self) -> bool:
        """Whether the reference can say what an answer is probably worth."""
        return bool(self.reference.quality)

    def predicted(self, instrument: str, observations: Sequence[Observation]) -> dict[str, Interval]:
        """Predicted mean Dice of these answers by structure; empty where there are none or nothing predicts it."""
        if not observations or not self.predicts:
            return {}
        features = self._features(instrument, observations)
        return {name: quality.mean_of(features) for name, quality in self.reference.quality.items()}

    def lowest(self, instrument: str, observations: Sequence[Observation]) -> list[float | None]:
        """Predicted Dice of each answer, of the structure for which it is lowest; None where nothing predicts it."""
        if not observations or not self.predicts:
            return [None] * len(observations)
        features = self._features(instrument, observations)
        found = [quality.cases(features) for quality in self.reference.quality.values()]
        return [min(one.estimate for one in case) for case in zip(*found, strict=True)]

    def distances(self, instrument: str, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """Distance of each case from the reference in its first stream [N]: larger is stranger."""
        return self._scorer(instrument, self.streams[0]).scores(observations)

    def _features(self, instrument: str, observations: Sequence[Observation]) -> NDArray[np.float64]:
        return self.reference.features(instrument if instrument in self.instruments else None, observations)

    def _scorer(self, instrument: str, stream: str) -> Scorer:
        """An instrument's own, or that of the nearest for one that is unknown or was not declared."""
        key = (instrument if instrument in self.instruments else None, stream)
        if key not in self._scorers:
            self._scorers[key] = self.reference.scorer(*key)
        return self._scorers[key]


class References:
    """Follows `current.json`, and finds the reference of this or of an earlier bundle by its SHA-256.

    Args:
        folder: `<state>/serving/<task>`.
        arl0: run length to false alarm that replaces the one in the reference; None: the reference's own.
    """

    def __init__(self, folder: Path, arl0: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._arl0, self._clock = folder, arl0, clock
        self._lock = threading.RLock()
        self._stamp: tuple[int, int, int] | None = None
        self._champion: Champion | None = None
        self._judges: OrderedDict[str, Judge] = OrderedDict()
        self._digests: dict[tuple[str, int, int], str] = {}
        self._missed: dict[str, float] = {}

    @property
    def champion(self) -> Champion | None:
        return self._champion

    def refresh(self) -> bool:
        """Read `current.json` if it was written anew. Whether the champion is another one now."""
        file = self._folder / "current.json"
        try:
            found = file.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return False
            read = self._read(json.loads(file.read_text()))
        except FileNotFoundError:
            return False  # what was said last still holds
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("current.json cannot be read: %s", error)
            return False
        with self._lock:
            changed = read != self._champion
            self._champion, self._stamp = read, stamp
            self._missed.clear()
        return changed

    def judge(self, reference_id: str) -> Judge | None:
        """The reference with that SHA-256, or None when no bundle here has it."""
        if not reference_id:
            return None
        with self._lock:
            if reference_id in self._judges:
                self._judges.move_to_end(reference_id)
                return self._judges[reference_id]
            if self._clock() - self._missed.get(reference_id, -math.inf) < SEARCH_SECONDS:
                return None
            file = self._find(reference_id)
            judge = self._load(file) if file is not None else None
            if judge is None:  # or it was removed just now: it is looked for again
                self._missed = {**dict(list(self._missed.items())[-1000:]), reference_id: self._clock()}
                return None
            self._judges[reference_id] = judge
            while len(self._judges) > KEPT:
                self._judges.popitem(last=False)
            return judge

    def current(self) -> Judge | None:
        """The champion's reference, if it has one."""
        return self.judge(self._champion.reference_id) if self._champion else None

    def _read(self, values: dict[str, str]) -> Champion:
        file = Path(values["folder"]) / REFERENCE
        return Champion(
            version=str(values["version"]),
            checksum=values["checksum"],
            folder=values["folder"],
            uri=values.get("uri", ""),
            since=values.get("since", ""),
            reference_id=self._digest(file) if file.is_file() else "",
        )

    def _find(self, reference_id: str) -> Path | None:
        files = sorted(self._folder.glob(f"bundles/*/{REFERENCE}"))
        if self._champion:
            files.append(Path(self._champion.folder) / REFERENCE)
        for file in files:
            try:
                if self._digest(file) == reference_id:
                    return file
            except OSError:  # removed meanwhile: only the newest bundles stay
                continue
        return None

    def _digest(self, file: Path) -> str:
        found = file.stat()
        key = (str(file), found.st_mtime_ns, found.st_size)
        if key not in self._digests:
            self._digests[key] = sha256(file)
        return self._digests[key]

    def _load(self, file: Path) -> Judge | None:
        try:
            read = reference.read(file)
        except ParfocalError as error:
            logger.error("drift is not watched, because the reference cannot be read: %s", error)
            return None
        if not read.streams:
            logger.error("drift is not watched, because the reference is empty: %s", dict(read.absent))
            return None
        return Judge(read, self._arl0)
