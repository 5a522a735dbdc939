"""Where the end of the ledger is kept beside the ledger itself, so that a cut-off end is noticed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from parfocal.adapters.settings import Settings
from parfocal.core.manifest import write_atomic
from parfocal.core.protocols import LedgerEntry
from parfocal.promotion.ledger import HEAD, Anchor


class HeadFile:
    """A file beside a ledger that is a file: `<database>.head`. It may lag behind by what was just written."""

    def __init__(self, database: Path) -> None:
        self._file = database.with_name(f"{database.name}.head")

    def read(self) -> Anchor | None:
        """What was noted last; None where nothing was."""
        try:
            return Anchor.read(self._file.read_text().strip(), str(self._file))
        except OSError:
            return None

    def note(self, entry: LedgerEntry, first: str) -> None:
        """Note a newer end. A disk that is full keeps the older one: what was appended is appended."""
        known = self.read()
        if known is None or (known.first == first and known.seq < entry.seq):  # another ledger's is `verify`'s to find
            with suppress(OSError):
                write_atomic(self._file, Anchor(entry.seq, entry.hash, first).text() + "\n")


def tracked(settings: Settings) -> list[Anchor]:
    """The ends that tracked runs were told of.

    Raises:
        OutsideServiceError: MLflow cannot be reached.
    """
    from parfocal.adapters.mlflow_client import Mlflow

    mlflow = Mlflow(settings.mlflow_uri, settings.experiment, settings.artifacts)
    with mlflow.asked("list the runs that decided something"):
        experiments = [found.experiment_id for found in mlflow.client.search_experiments()]
        found, token = [], None
        while experiments:
            page = mlflow.client.search_runs(experiments, f"tags.`{HEAD}` LIKE '%'", page_token=token)
            found += page
            if not (token := page.token):
                break
    return [Anchor.read(run.data.tags[HEAD], f"run {run.info.run_id}") for run in found]
