"""The champion of the registry, as a folder that a retrain can start from."""

from __future__ import annotations

import shutil
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.errors import UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Ledger, ModelStore
from parfocal.steps.config import RunConfig

CHAMPION_TAKEN = "champion-taken"


def run(out: Path, config: RunConfig, *, key: str, store: ModelStore, ledger: Ledger, fetched: Path) -> Manifest:
    """Copy the bundle under the alias `champion` to `out`.

    The first time, the ledger keeps which version that was. The same key again gets the same version, whatever the
    alias says by then: its checkpoints began from that one.

    Args:
        fetched: folder of the bundles that were fetched before.

    Raises:
        UsageError: the task has no champion.
        DataContractError: the registry's files do not match their manifest.
    """
    present = store.get(config.task, "champion")
    if present is None:
        raise UsageError(f"{config.task} has no champion", next="run the pipeline `initial` first")
    body = {"version": present.version, "checksum": present.checksum}
    taken = ledger.append(CHAMPION_TAKEN, config.task, key, body)
    shutil.copytree(store.fetch(config.task, taken.body["version"], fetched), out)
    return manifest.verify(out, "bundle")
