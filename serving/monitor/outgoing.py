"""What a run on a cluster is told to read, put where it can be fetched: its experience, and the champion's bundle.

A pod does not see the monitor's folders, and Kubeflow's importer fetches from object stores alone; MLflow's own
addresses (`mlflow-artifacts:`) it does not know. Without PARFOCAL_STORAGE a run is told folders, as on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parfocal_serving.monitor.references import Champion

from parfocal.adapters import storage
from parfocal.adapters.follower import BUNDLES
from parfocal.core import manifest


@dataclass(frozen=True)
class Outgoing:
    """Names addresses when a run is decided, and fills them before it is launched.

    Attributes:
        root: PARFOCAL_STORAGE.
        serving: folder of the followed champion (`Settings.serving`).
    """

    root: str
    task: str
    serving: Path

    def experience(self, instrument: str, number: int) -> str:
        """Where an experience will be stored."""
        return storage.experience_uri(self.root, self.task, instrument, number)

    def champion(self, champion: Champion) -> str:
        """Where a champion's bundle will be stored."""
        return f"{self.root.rstrip('/')}/bundles/{self.task}/{champion.checksum}"

    def put(self, arguments: Mapping[str, str], experience: Path) -> None:
        """Store what the arguments name, sealing the closed experience first; what is there is not sent again.

        Raises:
            OutsideServiceError: the storage cannot be used. The same call goes on.
        """
        uri, champion = arguments["experience_uri"], arguments.get("champion_uri", "")
        if uri.startswith(f"{self.root.rstrip('/')}/"):
            if not (experience / manifest.MANIFEST).is_file():
                manifest.seal(experience, "experience")
            storage.store(experience, uri)
        if champion.startswith(f"{self.root.rstrip('/')}/bundles/"):
            folder = self.serving / BUNDLES / champion.rpartition("/")[2]
            if folder.is_dir():  # else an earlier attempt has stored it, or the run says that it is not there
                storage.store(folder, champion)


def is_of(uri: str, champion: Champion) -> bool:
    """Whether a run's `champion_uri` is this champion, in whatever way it was named."""
    return uri in (champion.folder, champion.uri) or uri.rpartition("/")[2] == champion.checksum
