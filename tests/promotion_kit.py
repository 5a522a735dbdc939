"""Evaluations, bundles and a model store in memory, for the tests of promotion."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import ArrayLike

from parfocal.adapters import Platform, Settings, connect
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, DatasetRef, StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.protocols import ModelVersion
from parfocal.core.scores import EVALUATION, CaseScore, Evaluation, FrozenTest, MatrixRow
from parfocal.core.types import Split
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.shards import DATASET, Dataset, DatasetCase


def scores(instrument: str, structure: str, dice: ArrayLike, ratio: ArrayLike = 1.0) -> tuple[CaseScore, ...]:
    """One case a patient."""
    values = np.atleast_1d(np.asarray(dice, float))
    ratios = np.broadcast_to(ratio, values.shape)
    return tuple(
        CaseScore(
            instrument=instrument,
            structure=structure,
            case=f"{instrument}-{i}",
            patient=f"{instrument}-p{i}",
            metrics={"dice": float(value), "radii_ratio": float(ratios[i])},
        )
        for i, value in enumerate(values)
    )


def evaluation(
    challenger: Sequence[CaseScore],
    champion: Sequence[CaseScore] | None,
    *,
    new: str = "B",
    checksum: str = "c" * 64,
    rival: str | None = None,
    constant: float = 0.4,
    **changes: object,
) -> Evaluation:
    """An evaluation in which everything but the scores is in order."""
    flat = tuple(score.model_copy(update={"metrics": {"dice": constant, "radii_ratio": 1.3}}) for score in challenger)
    means: dict[str, dict[str, list[float]]] = {}
    for score in challenger:
        means.setdefault(score.instrument, {}).setdefault(score.structure, []).append(score.metrics["dice"])
    row = MatrixRow(
        model=checksum,
        learned=new,
        dice={i: {s: float(np.mean(v)) for s, v in structures.items()} for i, structures in means.items()},
    )
    values: dict[str, object] = {
        "task": "fundus",
        "challenger": checksum,
        "champion": (rival or "a" * 64) if champion is not None else None,
        "new_instrument": new,
        "scores": {"challenger": challenger, "constant": flat, **({"champion": champion} if champion else {})},
        "tests": {
            name: FrozenTest(checksum=sha256(name.encode()).hexdigest(), cases=9, patients=9, uses=0) for name in means
        },
        "latency_ms": {"challenger": 20.0, **({"champion": 19.0} if champion else {})},
        "agreement": {score.structure: 0.9996 for score in challenger},
        "runtime": "openvino",
        "matrix": (row,),
        **changes,
    }
    return Evaluation.model_validate(values)


def first(checksum: str, patients: int = 25) -> Evaluation:
    """The evaluation of a good first model, on A."""
    return evaluation(scores("A", "disc", np.linspace(0.9, 0.96, patients)), None, new="A", checksum=checksum)


def better(checksum: str, rival: str, patients: int = 25, gain: float = 0.2) -> Evaluation:
    """The evaluation of a challenger that learned B and kept A."""
    a, b = np.linspace(0.9, 0.96, 25), np.linspace(0.6, 0.7, patients)
    wobble = 0.004 * np.cos(np.arange(25))
    return evaluation(
        scores("A", "disc", a + wobble) + scores("B", "disc", b + gain + wobble[:patients]),
        scores("A", "disc", a) + scores("B", "disc", b),
        checksum=checksum,
        rival=rival,
    )


def write_dataset(folder: Path, instrument: str) -> manifest.Manifest:
    """A sealed dataset of three patients, without images."""
    cases = tuple(
        DatasetCase(
            id=str(i),
            patient=f"p{i}",
            split=split,
            image=f"images/{i}.jpg",
            checksum=str(i),
            masks={},
            mask_checksums={},
        )
        for i, split in enumerate(Split)
    )
    values = Dataset(
        task="fundus",
        instrument=instrument,
        reader="folder",
        recipe=FundusRecipe(),
        quota=(60, 15, 25),
        declared=False,
        cases=cases,
        test_checksum=f"{instrument}00",
    )
    with manifest.new_folder(folder, "dataset") as scratch:
        (scratch / DATASET).write_text(values.model_dump_json())
    return manifest.read(folder)


def write_bundle(folder: Path, content: str, *, datasets: Sequence[Path] = (), **network: object) -> str:
    """A sealed bundle whose weights are `content` and whose network is so described; returns its checksum."""
    references = tuple(
        DatasetRef(instrument=place.name, uri=str(place), checksum=manifest.read(place).checksum) for place in datasets
    )
    model = Bundle(
        task="fundus",
        structures={"disc": StructureModel.model_validate({"folder": "disc", **network})},
        recipe={},
        instruments=("A",),
        datasets=references,
    )
    with manifest.new_folder(folder, "bundle", seed=7) as scratch:
        (scratch / BUNDLE).write_text(model.model_dump_json())
        (scratch / "disc").mkdir()
        (scratch / "disc" / "weights.safetensors").write_text(content)
    return manifest.read(folder).checksum


def write_evaluation(folder: Path, values: Evaluation) -> Path:
    """Seal an evaluation."""
    with manifest.new_folder(folder, "evaluation") as scratch:
        (scratch / EVALUATION).write_text(values.model_dump_json())
    return folder


class MemoryStore:
    """A model store in memory, held to the same contract test as the real one."""

    def __init__(self) -> None:
        self.made: list[ModelVersion] = []
        self.aliases: dict[str, str] = {}
        self.tagged: dict[str, Mapping[str, str]] = {}

    def register(self, bundle: Path, task: str, *, tags: Mapping[str, str] | None = None) -> ModelVersion:
        checksum = manifest.verify(bundle, "bundle").checksum
        self.tagged.setdefault(checksum, tags or {})
        if checksum not in {version.checksum for version in self.made}:
            self.made.append(ModelVersion(task, str(len(self.made) + 1), checksum, str(bundle), ()))
        return next(version for version in self.versions(task) if version.checksum == checksum)

    def set_alias(self, task: str, alias: str, version: str) -> None:
        self.aliases[alias] = version

    def get(self, task: str, version_or_alias: str) -> ModelVersion | None:
        wanted = self.aliases.get(version_or_alias, version_or_alias)
        return next((version for version in self.versions(task) if version.version == wanted), None)

    def versions(self, task: str) -> Sequence[ModelVersion]:
        return tuple(
            replace(made, aliases=tuple(sorted(a for a, v in self.aliases.items() if v == made.version)))
            for made in self.made
            if made.task == task
        )

    def fetch(self, task: str, version_or_alias: str, into: Path) -> Path:
        found = self.get(task, version_or_alias)
        if found is None:
            raise DataContractError(f"there is no '{version_or_alias}'")
        manifest.verify(Path(found.uri), "bundle")
        target = into / found.checksum
        if not target.exists():
            target.mkdir(parents=True)
            for file in sorted(Path(found.uri).rglob("*")):
                place = target / file.relative_to(found.uri)
                place.mkdir(parents=True) if file.is_dir() else place.write_bytes(file.read_bytes())
        return target


class Recorder:
    """A run that keeps what it was told."""

    id = "run-1"

    def __init__(self) -> None:
        self.tagged: dict[str, str] = {}
        self.measured: dict[str, float] = {}
        self.attached: list[Path] = []

    def params(self, values: Mapping[str, object]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.measured.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        self.tagged.update(values)

    def artifact(self, path: Path, folder: str = "") -> None:
        self.attached.append(path)

    def text(self, content: str, name: str) -> None: ...

    def dataset(self, folder: Path, context: str) -> None: ...


@cache
def _empty_mlflow() -> bytes:
    """MLflow takes two seconds to make its tables; once is enough for all tests."""
    with TemporaryDirectory() as folder:
        connect(settings(Path(folder))).tracker._mlflow.client.search_experiments()
        return (Path(folder) / "mlflow.db").read_bytes()


def settings(state: Path) -> Settings:
    """All in one folder, whatever the environment says."""
    return Settings(
        state=state,
        tracking_uri=f"sqlite:///{state / 'mlflow.db'}",
        database_url=f"sqlite:///{state / 'ledger.db'}",
        experiment="tests",
    )


def platform(state: Path) -> Platform:
    """The real MLflow and the real ledger on SQLite files under `state`."""
    state.mkdir(exist_ok=True)
    if not (state / "mlflow.db").exists():
        (state / "mlflow.db").write_bytes(_empty_mlflow())
    return connect(settings(state))
