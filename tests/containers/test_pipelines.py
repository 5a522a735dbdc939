"""Both pipelines from their compiled YAML, each step in a container that is shut in as on a cluster."""

from pathlib import Path

import containers_kit as kit
import pytest
from pipelines_kit import config, write_experience

from parfocal.adapters import kubeflow
from parfocal.adapters.kubeflow import Containers, LocalRun
from parfocal.core import bundle
from parfocal.core.errors import DataContractError, UsageError

pytestmark = pytest.mark.usefixtures("images")
SHUT_IN = Containers(image=kit.STEPS, user=kit.USER)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("contained").resolve()
    for above in (folder, *list(folder.parents)[:2]):
        above.chmod(0o755)  # pytest's own are for their owner alone
    for name in ("state", "shared", "runs"):
        kit.owned(folder / name)
    with pytest.MonkeyPatch.context() as environment:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PARFOCAL_DATABASE_URL"):
            environment.delenv(name, raising=False)
        environment.setenv("PARFOCAL_STATE", str(folder / "state"))
        environment.setenv("PARFOCAL_SHARED", str(folder / "shared"))
        yield folder


@pytest.fixture(scope="module")
def first(place: Path) -> LocalRun:
    arguments = {
        "config": config("A"),
        "experience_uri": str(write_experience(place / "a", "A", 0)),
        "idempotency_key": "first",
    }
    return kubeflow.run_local(kubeflow.pipeline("initial"), arguments, place / "runs", containers=SHUT_IN)


def test_initial_in_containers(place: Path, first: LocalRun) -> None:
    made = bundle.read(Path(first.outputs["bundle"]))
    assert made.instruments == ("A",)
    assert Path(first.outputs["evaluation"], "report.html").is_file()
    assert first.outputs["outcome"] in ("promote", "refuse", "inconclusive")
    assert Path(first.outputs["bundle"]).stat().st_uid == int(kit.USER.split(":")[0])


def test_continual_in_containers(place: Path, first: LocalRun) -> None:
    arguments = {
        "config": config("B"),
        "experience_uri": str(write_experience(place / "b", "B", 100)),
        "champion_uri": first.outputs["bundle"],
        "idempotency_key": "second",
    }
    done = kubeflow.run_local(kubeflow.pipeline("continual"), arguments, place / "runs", containers=SHUT_IN)
    assert bundle.read(Path(done.outputs["bundle"])).instruments == ("A", "B")
    assert done.outputs["outcome"] in ("promote", "refuse", "inconclusive")


def test_a_failing_step_fails_the_pipeline_with_its_own_words(place: Path) -> None:
    (place / "empty").mkdir()
    arguments = {"config": config("A"), "experience_uri": str(place / "empty"), "idempotency_key": "third"}
    with pytest.raises(DataContractError, match="step 'preprocess' failed"):
        kubeflow.run_local(kubeflow.pipeline("initial"), arguments, place / "runs", containers=SHUT_IN)


def test_an_image_that_is_not_there_is_said_before_anything_runs(place: Path) -> None:
    arguments = {"config": config("A"), "experience_uri": str(place), "idempotency_key": "fourth"}
    with pytest.raises(UsageError, match="there is no image parfocal/none:0"):
        kubeflow.run_local(
            kubeflow.pipeline("initial"), arguments, place / "none", containers=Containers(image="parfocal/none:0")
        )
    assert not (place / "none").exists()
