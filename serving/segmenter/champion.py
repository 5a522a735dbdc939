"""The model that answers: read from current.json, warmed, and changed in place when the champion moves."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parfocal.core import bundle, manifest
from parfocal.core.bundle import REFERENCE
from parfocal.core.errors import DataContractError, ParfocalError
from parfocal.inference import probe
from parfocal.inference.observe import describe
from parfocal.inference.predictor import Predictor

logger = logging.getLogger("parfocal.segmenter")

CURRENT = "current.json"
"""Written by the follower beside the bundles it fetched; replaced as a whole, never edited."""
POLL = 0.25
"""Seconds between two looks at its time stamp."""
WARM = 3
"""Pictures: after the second, OpenVINO's answers take no longer than later ones."""


@dataclass(frozen=True, slots=True)
class Champion:
    """A loaded model.

    Attributes:
        reference_id: empty where there is no reference.
        runtime: what computes it.
        folder: its bundle; None for one that was put together in memory.
        since: when it became champion, ISO 8601; "" where nobody said.
    """

    task: str
    version: str
    checksum: str
    reference_id: str
    runtime: str
    predictor: Predictor
    folder: Path | None = None
    since: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A champion that could not be loaded or warmed, and why."""

    version: str
    checksum: str
    reason: str


def load(folder: Path, task: str, version: str, checksum: str, runtime: str) -> Champion:
    """Load a fetched bundle and answer a phantom's picture with it, so that no patient's is the first.

    Raises:
        ParfocalError: it is not whole, not the one that was named, or cannot answer.
    """
    predictor = Predictor(folder, runtime)
    found = manifest.read(folder, "bundle").checksum
    if found != checksum:
        raise DataContractError("the folder holds another bundle", where=folder, expected=checksum)
    if predictor.bundle.task != task:
        raise DataContractError(f"a bundle for {predictor.bundle.task}", where=folder, expected=task)
    _warm(predictor, folder)
    reference = folder / REFERENCE
    reference_id = manifest.sha256(reference) if reference.is_file() else ""
    runtimes = "+".join(dict.fromkeys(predictor.runtimes.values()))
    return Champion(task, version, checksum, reference_id, runtimes, predictor, folder)


def _warm(predictor: Predictor, folder: Path) -> None:
    predictor.warm()  # every network: a weak model may find no disc in the picture below, and so ask for no cup
    unnamed, *own = probe.instruments(predictor.bundle)
    image = probe.picture(predictor.bundle, 0)
    for instrument in (*[unnamed] * WARM, *own):
        prediction = predictor.predict(image, instrument)
        describe(image, prediction)
        for name, probability in prediction.probabilities.items():
            if not np.isfinite(probability).all():
                told = f" for {instrument}" if instrument else ""
                raise DataContractError(f"its {name} network{told} gives no numbers", where=folder)


class Champions:
    """Follows current.json in a thread. `current` is replaced in one step: a request keeps the one it began with.

    Attributes:
        current: what answers, None before the first.
        rejected: the champion that should answer and cannot, None if all is well.
    """

    def __init__(
        self,
        folder: Path,
        task: str,
        runtime: str,
        *,
        swapped: Callable[[Champion | None, Champion], None],
        refused: Callable[[Rejected], None],
        file: str = CURRENT,
    ) -> None:
        self._file = folder / file
        self._role = Path(file).stem.replace("current", "champion")
        self._task, self._runtime = task, runtime
        self._swapped, self._refused = swapped, refused
        self._seen: tuple[int, int] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)
        self.current: Champion | None = None
        self.rejected: Rejected | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(1)

    def check(self) -> None:
        """Load what current.json names, if it was replaced since the last look. A champion is tried once."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._away()
            return
        except OSError:
            return  # whether it is there cannot be seen
        if (seen := (stat.st_mtime_ns, stat.st_ino)) == self._seen:
            return
        self._seen = seen
        version = checksum = ""
        try:
            values = json.loads(self._file.read_bytes())
            version, checksum, folder = str(values["version"]), str(values["checksum"]), Path(values["folder"])
            self._follow(version, checksum, folder, str(values.get("since") or ""))
        except Exception as error:
            # Whatever is wrong with a bundle, and a damaged export can raise anything, the old model answers on.
            reason = str(error) if isinstance(error, ParfocalError) else f"{type(error).__name__}: {error}"
            logger.error("%s %s cannot answer: %s", self._role, version, reason)
            self.rejected = Rejected(version, checksum, reason)
            self._refused(self.rejected)

    def _away(self) -> None:
        """There is none yet; one that is taken away does not take the model away."""

    def _follow(self, version: str, checksum: str, folder: Path, since: str) -> None:
        old = self.current
        manifest.read(folder)  # a folder that is none says so
        if reason := bundle.parse(folder).unserved:
            # It is in order, and others ask it. Whoever answered pictures before goes on.
            self.rejected = Rejected(version, checksum, f"not served here: {reason}")
            logger.warning("%s %s is %s", self._role, version, self.rejected.reason)
            return
        if old is None or (old.version, old.checksum) != (version, checksum):
            new = replace(load(folder, self._task, version, checksum, self._runtime), since=since)
            self.current, self.rejected = new, None  # before anybody is told
            self._swapped(old, new)
            logger.warning("%s %s answers (%s, %s)", self._role, version, checksum[:12], new.runtime)
        elif old.since != since:  # it went and came back between two looks
            self.current = replace(old, since=since)
        self.rejected = None

    def _run(self) -> None:
        while True:
            self.check()
            if self._stopping.wait(POLL):
                return
