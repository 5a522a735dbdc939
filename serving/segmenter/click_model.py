"""The model that answers clicks: a bundle beside the champion, loaded and warmed once when a worker starts.

PARFOCAL_CLICKS_MODEL names a folder, or an alias in the registry; that one is fetched by a process of its own
(`click_fetch.py`), because no process that answers imports MLflow.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click
from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError, ParfocalError, UsageError
from parfocal.inference.interactive import INTERACT, InteractivePredictor
from parfocal.phantoms.photograph import case
from parfocal.preprocessing.images import Picture

logger = logging.getLogger("parfocal.segmenter")

AGAIN = 30.0
"""Seconds until an alias that could not be fetched is looked up again."""
FETCH = 600.0
"""Seconds that fetching a bundle may take."""
WARM = 3
"""Answers before the first person's."""


@dataclass(frozen=True, slots=True)
class ClickModel:
    """A loaded bundle that answers clicks.

    Attributes:
        version: in the registry; empty for a folder.
        since: when this worker loaded it, ISO 8601.
        predictors: by structure.
    """

    task: str
    version: str
    checksum: str
    runtime: str
    since: str
    bundle: Bundle
    predictors: Mapping[str, InteractivePredictor]


def load(folder: Path, task: str, version: str, runtime: str) -> ClickModel:
    """Load a bundle and answer a click in each of its structures.

    Raises:
        ParfocalError: it is not whole, for another task, or answers no clicks.
    """
    spec = bundle.read(folder)
    if spec.task != task:
        raise DataContractError(f"a bundle for {spec.task}", where=folder, expected=task)
    names = [name for name, model in spec.structures.items() if model.objective == INTERACT]
    if not names:
        raise UsageError(
            "this bundle answers no clicks", where=folder, next="train one with --set train.objective.name=interact"
        )
    predictors = {name: InteractivePredictor(folder, name, runtime, verify=False) for name in names}
    for predictor in predictors.values():
        _warm(predictor, folder)
    runtimes = "+".join(dict.fromkeys(one.runtime for one in predictors.values()))
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return ClickModel(task, version, manifest.read(folder, "bundle").checksum, runtimes, now, spec, predictors)


def _warm(predictor: InteractivePredictor, folder: Path) -> None:
    try:
        probability = _answered(predictor, case("A", 0, 0).image)
    except DataContractError:  # a recipe for other pictures than photographs
        probability = _answered(predictor, np.zeros((512, 512), np.uint16))
    if not np.isfinite(probability).all():
        raise DataContractError(f"its {predictor.structure.name} network gives no numbers", where=folder)


def _answered(predictor: InteractivePredictor, image: Picture) -> NDArray[np.float32]:
    """The last of some answers to one click, [H, W]."""
    height, width = image.shape[:2]
    outer = None
    if predictor.structure.inside:
        outer = np.zeros((height, width), np.bool_)
        outer[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    box = predictor.look(image, outer)
    assert box is not None, "there is a structure round it"
    click = Click((box.top + box.bottom) // 2, (box.left + box.right) // 2)
    probability = np.zeros((height, width), np.float32)
    for _ in range(WARM):
        probability = predictor.predict(image, [click], probability, outer=outer).probability
    return probability


class Clicks:
    """Holds the model that answers clicks in this worker.

    Attributes:
        named: what PARFOCAL_CLICKS_MODEL says; empty where nothing answers clicks.
        current: the model, None before it is loaded.
        trouble: why there is none, in a sentence; empty while all is well.
    """

    def __init__(self, named: str, task: str, runtime: str) -> None:
        self.named, self._task, self._runtime = named, task, runtime
        self.current: ClickModel | None = None
        self.trouble = "" if not named else "it is not loaded yet"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="clicks", daemon=True)

    def start(self) -> None:
        """Load a folder now; an alias in a thread, for the registry may be slow or away."""
        if not self.named:
            return
        folder = Path(self.named)
        if folder.is_dir() or len(folder.parts) > 1:
            self._load(folder, "")
        else:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def _follow(self) -> None:
        while self.current is None:
            try:
                found = self._fetched()
                self._load(Path(found["folder"]), found["version"])
            except Exception as error:  # whatever the registry says, the champion answers on
                self._failed(error)
            if self.current is not None or self._stopping.wait(AGAIN):
                return

    def _fetched(self) -> dict[str, str]:
        command = [sys.executable, "-m", "parfocal_serving.segmenter.click_fetch", self.named]
        environment = {**os.environ, "PARFOCAL_TASK": self._task}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=FETCH, check=False)  # noqa: S603
        if done.returncode:
            raise DataContractError(done.stderr.strip().rsplit("\n", 1)[-1] or "the alias cannot be fetched")
        found: dict[str, str] = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
        return found

    def _load(self, folder: Path, version: str) -> None:
        try:
            self.current = load(folder, self._task, version, self._runtime)
            self.trouble = ""
            logger.warning("%s answers clicks (%s)", self.named, self.current.runtime)
        except Exception as error:  # a damaged export can raise anything
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.trouble = str(error) if isinstance(error, ParfocalError) else f"{type(error).__name__}: {error}"
        logger.error("nothing answers clicks: %s", self.trouble)
