"""A step as a TrainJob, against a server that answers as the Kubernetes API server does on good days and bad ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import api_server_kit as kit
import data_kit
import learning_kit
import pytest
from api_server_kit import CUT, GONE_EVENT, SILENCE, WRONG, ApiServer
from kubeflow_trainer_api import models

from parfocal.adapters import kubeflow_asked, kubeflow_jobs, kubeflow_lost, kubeflow_pods
from parfocal.adapters.kubeflow_trainer import TrainJobExecutor
from parfocal.adapters.kubeflow_trainjob import Node, TrainJobSettings, described, folder, name
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, OutsideServiceError, ParfocalError, UsageError
from parfocal.core.protocols import Work
from parfocal.steps import elsewhere, train
from parfocal.steps.elsewhere import JOB


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ApiServer]:
    monkeypatch.setattr(kubeflow_asked, "LIMITS", (20.0, 20.0))
    monkeypatch.setattr(kubeflow_asked, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(kubeflow_jobs, "WATCH_SECONDS", 1)
    monkeypatch.setattr(kubeflow_pods, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(kubeflow_pods, "LAST_SECONDS", 0.1)
    monkeypatch.setattr(kubeflow_pods, "LIMITS", (20.0, 20.0))
    monkeypatch.setattr(kubeflow_lost, "BACKOFF_SECONDS", 0.1)
    with kit.api_server() as made:
        monkeypatch.setenv("KUBECONFIG", str(kit.kubeconfig(tmp_path / "kubeconfig", made)))
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> TrainJobSettings:
    return TrainJobSettings(image="registry/components@sha256:0", mount=tmp_path, namespace="parfocal")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    out = tmp_path / "out"
    return Work(
        "train", (str(tmp_path / "a"), "--out", str(out)), (tmp_path / "a", out), "{}", "k-1", 2, None, tmp_path
    )


def completing(server: ApiServer) -> Callable[[dict[str, Any]], None]:
    """A controller whose pods write and end well."""

    def run(job: dict[str, Any]) -> None:
        at = job["metadata"]["name"]
        pods = [server.pod(at, index) for index in range(job["spec"]["trainer"]["numNodes"])]
        server.write(pods[0], json.dumps({"stage": "disc", "step": 8, "loss": 0.5}))
        server.write(pods[1], "warming up")
        until = time.monotonic() + 60
        kinds = ("get", "pods", "log", "watch")
        while time.monotonic() < until and (server.unheard or any(server.moods[kind] for kind in kinds)):
            time.sleep(0.05)
        for pod in pods:
            server.pods[pod]["status"]["phase"] = "Succeeded"
        server.condition(at, "Complete")

    return run


class Heard(data_kit.Notes):
    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[str, int, dict[str, float]]] = []

    def epoch(self, stage: str, step: int, values: Any) -> None:
        self.epochs.append((stage, step, dict(values)))


def test_a_job_is_sent_watched_and_its_words_are_those_of_the_step(
    server: ApiServer, settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_pods, "LAST_SECONDS", 30.0)
    server.created = completing(server)
    heard = Heard()
    TrainJobExecutor(settings).execute(work, heard)
    assert heard.epochs == [("disc", 8, {"loss": 0.5})]
    assert "[node 1] warming up" in heard.notes
    assert server.jobs == {}  # what is done is cleared away
    assert (folder(work) / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("question", "moods"),
    [
        ("create", [429]),
        ("create", [500]),
        ("create", [409]),
        ("create", [CUT]),
        ("create", [SILENCE]),
        ("get", [429, 503, CUT]),
        ("get", [None, 500, SILENCE]),
        ("watch", [410]),
        ("watch", [GONE_EVENT, GONE_EVENT]),
        ("watch", [403, 500, 429]),
        ("watch", [SILENCE]),
        ("watch", [CUT, WRONG]),
        ("delete", [500, CUT]),
        ("delete", [404]),
        ("pods", [403, 500, CUT]),
        ("log", [500, CUT, WRONG, WRONG]),
        ("log", [404]),
    ],
)
def test_what_passes_is_asked_again(
    server: ApiServer, settings: TrainJobSettings, work: Work, question: str, moods: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(kubeflow_pods, "LAST_SECONDS", 30.0)
    if SILENCE in moods:
        monkeypatch.setattr(kubeflow_asked, "LIMITS", (0.4, 0.4))
    server.created = completing(server)
    server.moods[question] += moods
    heard = Heard()
    TrainJobExecutor(settings).execute(work, heard)
    assert not server.moods[question], server.asked
    if question == "log" and moods[0] != 404:
        # Once, though one of them was sent twice.
        assert (heard.epochs, heard.notes.count("[node 1] warming up")) == ([("disc", 8, {"loss": 0.5})], 1)


@pytest.mark.parametrize(
    ("question", "code", "kind", "says"),
    [
        ("get", 401, OutsideServiceError, "does not know this process: 401"),
        ("create", 403, UsageError, "does not permit it: create gives 403"),
        ("create", 404, UsageError, "knows no TrainJob"),
        ("create", 422, UsageError, "refuses it"),
        ("create", 410, OutsideServiceError, "answers 410"),
    ],
)
def test_what_does_not_pass_is_said(
    server: ApiServer, settings: TrainJobSettings, work: Work, question: str, code: int, kind: Any, says: str
) -> None:
    server.moods[question] += [code]
    with pytest.raises(kind, match=says):
        TrainJobExecutor(settings).execute(work, Heard())


def test_a_server_that_stays_away_is_given_up_and_the_job_is_left(
    server: ApiServer, settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_jobs, "PATIENCE_SECONDS", 2.0)
    server.moods["get"] += [None, None, *[500] * 200]
    with pytest.raises(OutsideServiceError, match="answers 500"):
        TrainJobExecutor(settings).execute(work, Heard())
    assert name(work) in server.jobs


def test_the_same_key_watches_the_job_that_is_there(server: ApiServer, settings: TrainJobSettings, work: Work) -> None:
    server.put("ADDED", described(work, settings))

    def complete() -> None:
        until = time.monotonic() + 90
        while "watch" not in server.asked and time.monotonic() < until:
            time.sleep(0.02)
        server.condition(name(work), "Complete")

    ended = threading.Thread(target=complete)
    ended.start()
    TrainJobExecutor(settings).execute(work, Heard())
    ended.join()
    assert "create" not in server.asked


def test_a_job_of_the_key_that_does_something_else_is_not_touched(
    server: ApiServer, settings: TrainJobSettings, work: Work
) -> None:
    other = TrainJobSettings(image="another", mount=settings.mount, namespace="parfocal")
    server.put("ADDED", described(work, other))
    with pytest.raises(UsageError, match="doing something else"):
        TrainJobExecutor(settings).execute(work, Heard())
    assert name(work) in server.jobs


def test_a_job_that_has_failed_is_replaced_and_its_error_forgotten(
    server: ApiServer, settings: TrainJobSettings, work: Work
) -> None:
    server.put("ADDED", described(work, settings))
    server.condition(name(work), "Failed")
    folder(work).mkdir(parents=True)
    (folder(work) / "failure-0.json").write_text("{}")
    server.created = completing(server)
    TrainJobExecutor(settings).execute(work, Heard())
    assert not (folder(work) / "failure-0.json").exists()


def test_the_steps_own_error_is_raised_and_not_that_of_who_lost_it(
    server: ApiServer, settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(job: dict[str, Any]) -> None:
        monkeypatch.setenv(JOB, str(folder(work)))
        for rank, error in (
            ("1", RuntimeError("Connection closed by peer")),
            ("0", DataContractError("no structure has labels", where="a", expected="masks", next="label some")),
        ):
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
            monkeypatch.setenv("RANK", rank)
            with pytest.raises(type(error)), elsewhere.told():
                raise error
        # The job's controller would try again and again; what is said will not change.

    server.created = run
    with pytest.raises(DataContractError, match="no structure has labels") as error:
        TrainJobExecutor(settings).execute(work, Heard())
    assert (error.value.where, error.value.expected, error.value.next) == ("a", "masks", "label some")
    assert server.jobs == {}


def test_a_job_that_fails_without_a_word_says_why_its_pods_died(
    server: ApiServer, settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_pods, "LAST_SECONDS", 30.0)

    def run(job: dict[str, Any]) -> None:
        at = job["metadata"]["name"]
        killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
        server.write(server.pod(at, 0, "Failed", containerStatuses=[{"state": killed}]), "step 7 of 9")
        pulling = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        server.pod(at, 1, "Pending", containerStatuses=[{"state": pulling}])
        server.looked()
        server.condition(at, "Failed", "BackoffLimitExceeded", "a job has failed")

    server.created = run
    heard = Heard()
    with pytest.raises(OutsideServiceError, match="BackoffLimitExceeded a job has failed") as error:
        TrainJobExecutor(settings).execute(work, heard)
    assert error.value.exit_code == 6
    for said in ("OOMKilled: exit code 137", "ImagePullBackOff: no such image", "step 7 of 9"):
        assert said in error.value.expected
    assert "[node 1] ImagePullBackOff: no such image" in heard.notes
    assert name(work) in server.jobs  # to be looked at


DRAINED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "node drained"}
LOST = {
    "evicted": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
    "drained": {"conditions": [DRAINED]},
    "a peer is gone": "RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.7]:4711",
    "no word": {},
}


def losing(server: ApiServer, work: Work, how: str, times: int) -> Callable[[dict[str, Any]], None]:
    """A controller of nodes that are lost so many times, then stay."""
    left = [times]

    def run(job: dict[str, Any]) -> None:
        if not left[0]:
            completing(server)(job)
            return
        left[0] -= 1
        at, told = job["metadata"]["name"], LOST[how]
        server.pod(at, 0)
        server.pod(at, 1, **(told if isinstance(told, dict) else {}))
        if isinstance(told, str):
            values = {"exit_code": 1, "what": told, "where": "", "expected": "", "next": ""}
            (folder(work) / "failure-0.json").write_text(json.dumps(values))
        server.looked()
        del server.pods[f"{at}-node-0-1-abcde"]  # a pod that is taken is soon gone
        server.condition(at, "Failed", "BackoffLimitExceeded", "a job has failed")

    return run


@pytest.mark.parametrize("how", LOST)
def test_a_job_that_lost_a_node_is_begun_again_after_a_growing_pause(
    server: ApiServer, settings: TrainJobSettings, work: Work, how: str
) -> None:
    server.created = losing(server, work, how, 2)
    heard = Heard()
    TrainJobExecutor(settings).execute(work, heard)
    assert server.asked.count("create") == 3
    said = [note.partition("; another job goes on from the checkpoint in ") for note in heard.notes if "; ano" in note]
    assert [pause for _, _, pause in said] == ["0.1 s, 3 may be lost", "0.2 s, 2 may be lost"]
    word = {"drained": "node 1 was taken: EvictionByEvictionAPI: node drained", "no word": "ended without a word"}
    assert word.get(how, "") in said[0][0]
    assert not list(folder(work).glob("failure-*")), "the next job's words are its own"


@pytest.mark.parametrize("how", ["evicted", "a peer is gone"])
def test_a_job_that_loses_nodes_too_often_has_failed(
    server: ApiServer, settings: TrainJobSettings, work: Work, how: str
) -> None:
    server.created = losing(server, work, how, 99)
    with pytest.raises(OutsideServiceError, match="lost a node, 2 times in a row") as error:
        TrainJobExecutor(settings.model_copy(update={"retries": 1})).execute(work, Heard())
    assert server.asked.count("create") == 2
    said = {"evicted": "node 1 was taken: Evicted: The node was low", "a peer is gone": "Connection closed by peer"}
    assert said[how] in error.value.what
    assert error.value.where == f"trainjob parfocal/{name(work)}"
    assert "goes on from its checkpoint" in error.value.next
    assert name(work) in server.jobs  # to be looked at


def test_a_step_that_fails_by_itself_is_not_begun_again(
    server: ApiServer, settings: TrainJobSettings, work: Work
) -> None:
    """By its own words: also while a peer, later, speaks of a broken connection."""

    def run(job: dict[str, Any]) -> None:
        server.pod(job["metadata"]["name"], 0, "Failed")
        for rank, what in enumerate(("ZeroDivisionError: division by zero", LOST["a peer is gone"])):
            values = {"exit_code": 1, "what": what, "where": "", "expected": "", "next": ""}
            (folder(work) / f"failure-{rank}.json").write_text(json.dumps(values))
            time.sleep(0.02)
        server.condition(job["metadata"]["name"], "Failed", "BackoffLimitExceeded", "a job has failed")

    server.created = run
    with pytest.raises(ParfocalError, match="division by zero"):
        TrainJobExecutor(settings).execute(work, Heard())
    assert server.asked.count("create") == 1


def test_a_job_of_which_time_ran_out_is_not_begun_again(
    server: ApiServer, settings: TrainJobSettings, work: Work
) -> None:
    server.created = lambda job: server.condition(job["metadata"]["name"], "Failed", "DeadlineExceeded", "too long")
    with pytest.raises(OutsideServiceError, match="DeadlineExceeded too long"):
        TrainJobExecutor(settings).execute(work, Heard())
    assert server.asked.count("create") == 1


def test_a_step_that_is_ended_between_two_jobs_lets_go(
    server: ApiServer, settings: TrainJobSettings, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_lost, "BACKOFF_SECONDS", 30.0)
    server.created = losing(server, work, "evicted", 99)

    class Ended(Heard):
        def note(self, message: str) -> None:
            super().note(message)
            if "another job goes on" in message:
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    heard = Ended()
    with pytest.raises(SystemExit):
        TrainJobExecutor(settings).execute(work, heard)
    assert server.asked.count("create") == 1, "it did not wait the half minute"
    assert server.jobs == {}


def test_a_job_that_somebody_deletes_is_missed(server: ApiServer, settings: TrainJobSettings, work: Work) -> None:
    server.created = lambda job: server.put("DELETED", job) and None
    with pytest.raises(OutsideServiceError, match="was deleted"):
        TrainJobExecutor(settings).execute(work, Heard())


@pytest.mark.parametrize("ended", ["delete", "suspend", "leave"])
def test_a_step_that_is_ended_lets_go_of_its_job(
    server: ApiServer, settings: TrainJobSettings, work: Work, ended: Any
) -> None:
    server.created = lambda job: os.kill(os.getpid(), signal.SIGTERM)
    mine = settings.model_copy(update={"ended": ended})
    with pytest.raises(SystemExit) as end:
        TrainJobExecutor(mine).execute(work, Heard())
    assert end.value.code == 143
    job = server.jobs.get(name(work))
    assert (job is None) == (ended == "delete")
    assert job is None or job["spec"].get("suspend", False) == (ended == "suspend")
    if ended == "suspend":  # the next attempt goes on with it

        def complete() -> None:
            while server.jobs[name(work)]["spec"]["suspend"]:
                time.sleep(0.02)
            server.condition(name(work), "Complete")

        threading.Thread(target=complete).start()
        TrainJobExecutor(mine).execute(work, Heard())
        assert server.events[-2][2]["spec"]["suspend"] is False


def test_every_field_is_one_that_trainer_knows(settings: TrainJobSettings, work: Work) -> None:
    """Its models drop what they do not know without a word: what comes back must be what went in."""
    full = settings.model_copy(
        update={
            "runtime_kind": "TrainingRuntime",
            "account": "runs", "secret": "mlflow", "secret_keys": ("MLFLOW_TRACKING_TOKEN",), "seconds": 3600,
            "node": Node(
                accelerator="nvidia.com/gpu", accelerators=8, node_selector={"parfocal.dev/pool": "gpu"},
                tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
                labels={"kueue.x-k8s.io/queue-name": "research"},
            ),
        }
    )  # fmt: skip
    job = described(work, full)
    assert models.TrainerV1alpha1TrainJob.from_dict(job).to_dict() == job
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "8"
    assert len(job["metadata"]["name"] + "-node-0-0-abcde") <= 63


def test_a_folder_that_no_pod_sees_is_refused(settings: TrainJobSettings, work: Work) -> None:
    elsewhere_set = settings.model_copy(update={"mount": Path("/var/lib/parfocal")})
    with pytest.raises(UsageError, match="do not see this folder"):
        TrainJobExecutor(elsewhere_set).execute(work, Heard())


def run_here(server: ApiServer, lose: str = "") -> Callable[[dict[str, Any]], None]:
    """A controller and a kubelet in one: the container's own command, its processes on this machine.

    One of them is killed, once, when a line with `lose` is written.
    """
    left = [lose] if lose else []

    def run(job: dict[str, Any]) -> None:
        at, trainer = job["metadata"]["name"], job["spec"]["trainer"]
        pod = server.pod(at, 0)
        env = {one["name"]: one["value"] for one in trainer["env"]}
        env |= {"PET_NNODES": "1", "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]), "PET_NODE_RANK": "0"}
        env |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "0", "PET_STANDALONE": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *trainer["command"][1:], *trainer["args"]]
        process = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            server.write(pod, line.rstrip())
            if left and left[0] in line:
                left.clear()
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                os.kill(int(children[-1]), signal.SIGKILL)
        ended = process.wait()
        server.pods[pod]["status"]["phase"] = "Failed" if ended else "Succeeded"
        server.condition(at, "Failed" if ended else "Complete", "", f"exit code {ended}")

    return run


@pytest.mark.slow
def test_a_bundle_that_a_job_of_two_processes_trained(
    server: ApiServer, settings: TrainJobSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_DATABASE_URL", "")
    data_kit.dataset(data_kit.source(tmp_path / "photos-a", data_kit.patients(16)), tmp_path / "a")
    server.created = run_here(server)
    heard, out = Heard(), tmp_path / "first"
    config = learning_kit.config("executor.name=trainjob", "executor.processes=2")
    made = train.run(
        [tmp_path / "a"], out, tmp_path / "memory", config, state=tmp_path / "state", key="two",
        run=learning_kit.Untracked(), reporter=heard, executor=TrainJobExecutor(settings),
    )  # fmt: skip
    assert manifest.verify(out, "bundle").checksum == made.checksum
    assert manifest.verify(tmp_path / "memory", "memory").kind == "memory"
    assert [stage for stage, step, _ in heard.epochs if step == 24] == ["disc", "cup"]  # the first process alone speaks
    beside = {one.name for one in tmp_path.iterdir()}
    assert beside == {"a", "first", "kubeconfig", "memory", "photos-a", "state"}  # and nothing of the other one's
    shutil.rmtree(out)
    broken = learning_kit.config("executor.name=trainjob", "executor.processes=2", "train.batch_size=3")
    with pytest.raises(UsageError, match="a batch of 3 cannot be divided among 2 processes"):
        train.run(
            [tmp_path / "a"], out, tmp_path / "memory", broken, state=tmp_path / "state", key="three",
            run=learning_kit.Untracked(), reporter=heard, executor=TrainJobExecutor(settings),
        )  # fmt: skip


@pytest.mark.slow
def test_a_training_of_two_processes_that_loses_one_is_begun_again_and_ends_well(
    server: ApiServer, settings: TrainJobSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch.distributed and torchrun really do when a peer is killed."""
    monkeypatch.setenv("PARFOCAL_DATABASE_URL", "")
    data_kit.dataset(data_kit.source(tmp_path / "photos-a", data_kit.patients(16)), tmp_path / "a")
    server.created = run_here(server, '"stage": "disc", "step": 6')
    heard = Heard()
    config = learning_kit.config(
        "executor.name=trainjob", "executor.processes=2", "train.checkpoint_every=2", "train.validate_every=2"
    )
    made = train.run(
        [tmp_path / "a"], tmp_path / "first", tmp_path / "memory", config, state=tmp_path / "state", key="lost",
        run=learning_kit.Untracked(), reporter=heard, executor=TrainJobExecutor(settings),
    )  # fmt: skip
    assert manifest.verify(tmp_path / "first", "bundle").checksum == made.checksum
    assert server.asked.count("create") == 2
    assert any("another job goes on from the checkpoint" in note for note in heard.notes), heard.notes
    assert any("disc goes on from step" in note for note in heard.notes), heard.notes
