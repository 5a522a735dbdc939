"""A run on a cluster is told addresses, and what lies there is whole before it is launched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from monitor_kit import mask, photograph, promote
from parfocal_serving.monitor import records
from parfocal_serving.monitor.cases import CaseStore, NewCase
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.outgoing import Outgoing, is_of
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import Champion, References
from parfocal_serving.monitor.runs import Runs
from parfocal_serving.monitor.settings import MonitorSettings
from storage_kit import BUCKET, S3, folder, serving

from parfocal.adapters import storage
from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.readers.folder import FolderReader

ROOT = f"s3://{BUCKET}/parfocal"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as made:
        yield made


class Recorder:
    def __init__(self) -> None:
        self.launched: list[dict[str, str]] = []

    def launch(self, pipeline: Path, arguments: dict[str, str], *, name: str) -> str:
        self.launched.append(arguments)
        return name

    def state(self, run_id: str) -> str:
        return "running"


def labelled(state: Path) -> CaseStore:
    cases = CaseStore(state, "fundus")
    for number in range(3):
        cases.add("Cam B", NewCase(photograph(number), {"disc": mask()}, patient=f"p{number}"))
    return cases


def test_a_run_is_told_addresses_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_STORAGE", f"{ROOT}/")
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path))
    monkeypatch.setenv("PARFOCAL_LAUNCHER", "kubeflow")
    plan = Plan.of(MonitorSettings())
    champion = Champion("1", "c" * 64, "/here/c", "mlflow-artifacts:/1/c", "", "")
    told = plan.arguments("Cam B", champion, tmp_path / "experiences" / "fundus" / "Cam B" / "2", "key")
    assert told["experience_uri"].startswith(f"{ROOT}/experiences/fundus/Cam_B-")
    assert told["experience_uri"].endswith("/2")
    assert told["champion_uri"] == f"{ROOT}/bundles/fundus/{'c' * 64}"
    assert is_of(told["champion_uri"], champion)
    assert is_of(champion.uri, champion) and not is_of(told["champion_uri"], replace(champion, checksum="d" * 64))


def test_what_a_run_reads_is_stored_before_it_is_launched_and_waits_for_a_storage(s3: S3, tmp_path: Path) -> None:
    promote(tmp_path)
    cases, launcher = labelled(tmp_path), Recorder()
    serving = tmp_path / "serving" / "fundus"
    made = folder(tmp_path / "made", "bundle")
    checksum = manifest.read(made).checksum
    (serving / "bundles").mkdir(exist_ok=True, parents=True)
    made.rename(serving / "bundles" / checksum)
    references = References(serving)
    references.refresh()
    assert references.champion is not None
    out, now = Outgoing(ROOT, "fundus", serving), [0.0]
    champion = replace(references.champion, checksum=checksum)
    arguments = {"experience_uri": out.experience("Cam B", 1), "champion_uri": out.champion(champion)}
    database = connect(f"sqlite:///{tmp_path / 'monitor.db'}")
    with database.write() as connection:
        run = records.RunRecord(
            key="k", task="fundus", instrument="Cam B", number=1, pipeline="p", arguments=arguments, decided=0.0
        )
        records.begin(connection, run)
    runs = Runs(database, cases, launcher, "fundus", lambda: now[0], out)
    s3.go()
    assert runs.carry() == (False, True)
    assert not launcher.launched, "nothing is there to read yet"
    assert "storage cannot be used" in runs.all()[0].error
    s3.come_back()
    now[0] = 31.0
    runs.carry()
    assert launcher.launched == [arguments]
    experience = storage.fetch(arguments["experience_uri"], tmp_path / "cache", "experience")
    read = FolderReader().scan(experience, tmp_path, task="fundus", instrument="Cam B")
    assert (len(read.cases), list(read.problems)) == (3, [])
    assert storage.fetch(arguments["champion_uri"], tmp_path / "cache", "bundle").name == checksum
    with pytest.raises(DataContractError, match="no whole folder"):
        storage.fetch(out.experience("Cam B", 2), tmp_path / "cache")
    database.close()
