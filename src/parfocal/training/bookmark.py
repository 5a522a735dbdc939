"""Where a training goes on: its checkpoints, and whether they are of this training and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from parfocal.core.errors import OutsideServiceError, UsageError
from parfocal.core.protocols import CheckpointStore
from parfocal.training import checkpoint as checkpoints
from parfocal.training.checkpoint import Checkpoint
from parfocal.training.state import RESIDENT, Asked, State, differing


@dataclass(eq=False)
class Bookmark:
    """The checkpoints of one training; used by the first process alone.

    Attributes:
        folder: of the checkpoints; None for a training that keeps none.
        fingerprint: what a continuation must share (`state.fingerprint`).
        wherever: it may have been the device or the host that changed the pictures.
        asked: its stage, its reporter, and who keeps checkpoints beyond this machine.
    """

    folder: Path | None
    fingerprint: dict[str, Any]
    wherever: bool
    asked: Asked

    def read(self) -> Checkpoint | None:
        """The last whole checkpoint; None when there is none.

        Raises:
            UsageError: it is of another training.
        """
        found = checkpoints.latest(self.folder, self.asked.reporter.note) if self.folder is not None else None
        if found is None:
            return None
        if self.wherever:  # what was free when it began decides, not what is free now
            self.fingerprint.pop(RESIDENT, None)
            self.fingerprint |= {RESIDENT: True} if was_resident(found) else {}
        names = differing(found.meta["fingerprint"], self.fingerprint)
        if names:
            raise UsageError(
                f"the checkpoint was made with something else: {', '.join(names)}",
                where=self.folder,
                expected="the settings and inputs of the run that was stopped",
                next="give those again, or another --key, or remove the folder",
            )
        self.asked.reporter.note(f"{self.asked.stage} goes on from step {found.step} of {found.meta['state']['steps']}")
        return found

    def save(self, state: State, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep a checkpoint of `state`. A store that is away is no reason to end: the next one tries again.

        Raises:
            OutsideServiceError: it cannot be written here.
        """
        if self.folder is not None:
            meta = {"state": asdict(state), "fingerprint": self.fingerprint}
            checkpoints.save(self.folder, state.done, tensors, meta)
            if self.asked.store is not None:
                self._keep(self.asked.store, self.folder, state.done)

    def _keep(self, store: CheckpointStore, folder: Path, step: int) -> None:
        try:
            store.keep(folder)
        except OutsideServiceError as error:
            self.asked.reporter.note(
                f"{self.asked.stage}: the checkpoint of step {step} is on this machine alone: {error.what}"
            )


def was_resident(found: Checkpoint) -> bool:
    """Whether the device changed the pictures of the training that a checkpoint is of."""
    return RESIDENT in found.meta["fingerprint"]
