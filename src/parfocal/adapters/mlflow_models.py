"""The registry of bundles on MLflow. MLflow is imported when it is first used, which takes seconds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from uuid import uuid4

from parfocal import __version__
from parfocal.adapters.mlflow_client import Mlflow, quoted, without_password
from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.core.protocols import ModelVersion

CHECKSUM, RUN = "parfocal.checksum", "parfocal.run"
"""Tags of a version: the bundle's identity, and the tracked run that registered it."""


class MlflowModelStore:
    """`parfocal.core.protocols.ModelStore` on MLflow's registry; the registered model has the task's name.

    A version is a pyfunc around the bundle folder (`parfocal.adapters.bundle_flavor`), found again by the bundle's
    checksum, which is a tag of the version.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None) -> None:
        self._mlflow = Mlflow(uri, experiment, artifacts)

    def register(self, bundle: Path, task: str, *, tags: Mapping[str, str] | None = None) -> ModelVersion:
        """Copy a sealed bundle into MLflow's storage and register it, once for each checksum."""
        checksum = manifest.verify(bundle, "bundle").checksum
        with self._mlflow.asked("register the model"):
            if (known := self._by_checksum(task, checksum)) is not None:
                return known
            self._ensure_model(task)
            self._create_version(task, self._upload(bundle, task), {**(tags or {}), CHECKSUM: checksum})
            # Two processes at once make two versions; the oldest is the one that everybody returns.
            made = self._by_checksum(task, checksum)
        assert made is not None
        return made

    def set_alias(self, task: str, alias: str, version: str) -> None:
        with self._mlflow.asked(f"set the alias {alias}"):
            self._mlflow.client.set_registered_model_alias(task, alias, version)

    def get(self, task: str, version_or_alias: str) -> ModelVersion | None:
        with self._mlflow.asked("look up a model"):
            aliases = self._aliases(task)
            version = aliases.get(version_or_alias, version_or_alias)
            if not version.isdigit():
                return None
            found = _or_none(lambda: self._mlflow.client.get_model_version(task, version))
            return self._version(found, aliases) if found else None

    def versions(self, task: str) -> Sequence[ModelVersion]:
        with self._mlflow.asked("list the models"):
            return self._search(task, "")

    def fetch(self, task: str, version_or_alias: str, into: Path) -> Path:
        """Copy a version's bundle to ``into/<checksum>`` once; later calls verify and return what is there."""
        version = self.get(task, version_or_alias)
        if version is None:
            raise DataContractError(
                f"the registry has no '{version_or_alias}' of {task}",
                where=without_password(self._mlflow.uri),
                next="`parfocal registry history` lists what was registered",
            )
        if not version.checksum:
            raise DataContractError(
                f"version {version.version} of {task} was registered by something else: it has no checksum",
                where=without_password(self._mlflow.uri),
                next="register a bundle with `parfocal promote`, and move the alias to it",
            )
        target = into / version.checksum
        if target.is_dir():
            with suppress(DataContractError):
                manifest.verify(target, "bundle")
                return target
            shutil.rmtree(target)
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".fetch-") as scratch:
            with self._mlflow.asked("send the model's files"):
                copied = self._download(version.uri, Path(scratch))
            _verify_copy(copied, version)
            with suppress(OSError):  # another process may have put the same bundle there
                copied.rename(target)
        return target

    def _ensure_model(self, task: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._mlflow.client.create_registered_model(task)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _upload(self, bundle: Path, task: str) -> Any:
        """Put the bundle into storage as a pyfunc and return MLflow's entity. Half an upload is never READY."""
        import mlflow.pyfunc

        client = self._mlflow.client
        with tempfile.TemporaryDirectory() as scratch:
            named = Path(scratch) / "bundle"
            named.symlink_to(bundle.resolve(), target_is_directory=True)
            mlflow.pyfunc.save_model(
                str(Path(scratch) / "model"),
                loader_module="parfocal.adapters.bundle_flavor",
                data_path=str(named),
                pip_requirements=[f"parfocal=={__version__}"],
            )
            made = client.create_logged_model(self._mlflow.experiment, name=task)
            client.log_model_artifacts(made.model_id, str(Path(scratch) / "model"))
        client.finalize_logged_model(made.model_id, "READY")
        return made

    def _create_version(self, task: str, made: Any, tags: Mapping[str, str]) -> None:
        # A server resolves a models:/ URI. Without one, MLflow would do so through its global tracking URI, whatever
        # its client's is, and leave that in the environment for everybody else in the process; so it gets the place.
        server = self._mlflow.uri.startswith("http")
        self._mlflow.client.create_model_version(
            task,
            made.model_uri if server else made.artifact_location,
            run_id=tags.get(RUN),
            tags=dict(tags),
            model_id=made.model_id if server else None,
        )

    def _by_checksum(self, task: str, checksum: str) -> ModelVersion | None:
        return next(iter(self._search(task, f" and tags.`{CHECKSUM}` = '{checksum}'")), None)

    def _search(self, task: str, condition: str) -> tuple[ModelVersion, ...]:
        aliases, found, token = self._aliases(task), [], None
        while True:
            page = self._mlflow.client.search_model_versions(
                f"name = {quoted(task)}{condition}", max_results=1000, page_token=token
            )
            found += page
            if not (token := page.token):
                break
        return tuple(self._version(row, aliases) for row in sorted(found, key=lambda row: int(row.version)))

    def _aliases(self, task: str) -> dict[str, str]:
        """Alias to version. Searching for versions does not give their aliases."""
        model = _or_none(lambda: self._mlflow.client.get_registered_model(task))
        return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def _version(self, row: Any, aliases: Mapping[str, str]) -> ModelVersion:
        place = self._mlflow.client.get_model_version_download_uri(row.name, str(row.version))
        return ModelVersion(
            task=row.name,
            version=str(row.version),
            checksum=row.tags.get(CHECKSUM, ""),
            uri=f"{_local(place) or place}/data/bundle",
            aliases=tuple(sorted(alias for alias, version in aliases.items() if version == str(row.version))),
            run_id=row.run_id or "",
            created=datetime.fromtimestamp(row.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        )

    def _download(self, uri: str, scratch: Path) -> Path:
        from mlflow.artifacts import download_artifacts

        target = scratch / uuid4().hex
        if (place := _local(uri)) is not None:
            return Path(shutil.copytree(place, target))
        target.mkdir()
        return Path(download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=self._mlflow.uri))


def _verify_copy(copied: Path, version: ModelVersion) -> None:
    """Verify what arrived; the error names the file in the registry's storage, where it has to be mended."""
    advice = f"`parfocal registry rollback --task {version.task}`, then find out what changed the file"
    try:
        sealed = manifest.verify(copied, "bundle")
    except DataContractError as error:
        place = str(error.where).replace(str(copied), version.uri)
        raise DataContractError(
            f"version {version.version} of {version.task} is damaged: {error.what}",
            where=place,
            expected=error.expected,
            next=advice,
        ) from None
    if sealed.checksum != version.checksum:
        raise DataContractError(
            f"version {version.version} of {version.task} is another bundle than the one that was registered",
            where=version.uri,
            expected=f"checksum {version.checksum[:16]}…",
            next=advice,
        )


def _or_none(ask: Callable[[], Any]) -> Any:
    """The answer, or None when MLflow says that there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _local(uri: str) -> Path | None:
    """The path that a URI without a scheme or with ``file:`` names."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(uri) if not parsed.scheme else None
