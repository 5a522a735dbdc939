"""`parfocal doctor --cluster` against an HTTP server that answers as the Kubernetes API server does."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from parfocal.adapters import cluster_capacity, cluster_doctor, cluster_rights, cluster_trainings
from parfocal.cli import parfocal
from parfocal.core.errors import UsageError

Answer = tuple[int, dict[str, Any]]
GPU = {
    "metadata": {"name": "g1", "labels": {"parfocal.dev/pool": "gpu"}},
    "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "16", "nvidia.com/gpu": "2"}},
}
CLAIM = {
    "metadata": {"name": "parfocal"},
    "spec": {"accessModes": ["ReadWriteMany"]},
    "status": {"phase": "Bound"},
}


def status(code: int, message: str) -> Answer:
    """As the API server words a failure."""
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


def listed(*items: dict[str, Any]) -> Answer:
    return 200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": list(items)}


class Server(ThreadingHTTPServer):
    """An API server. `answers` maps a path to what it answers; `may` says whether a user has a right."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.slow = 0.0
        self.once: dict[str, Answer] = {}
        self.may: Callable[[str, dict[str, str]], bool] = lambda user, right: (
            user == "me" or (right["group"] == "pipelines.kubeflow.org" and right["verb"] in ("create", "get", "list"))
        )
        core = "/api/v1/namespaces/parfocal"
        self.answers: dict[str, Answer] = {
            "/version/": (200, {
                "major": "1", "minor": "32+", "gitVersion": "v1.32.1", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
            }),
            core: (200, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
            f"{core}/persistentvolumeclaims": listed(CLAIM),
            f"{core}/configmaps": listed({"metadata": {"name": "parfocal"}, "data": {"PARFOCAL_TASK": "fundus"}}),
            "/api/v1/nodes": listed(GPU, {"metadata": {}, "spec": {}, "status": {"allocatable": {"cpu": "4"}}}),
            "/api/v1/namespaces/kubeflow/services/ml-pipeline": (200, {"metadata": {"name": "ml-pipeline"}}),
        }  # fmt: skip
        for name, keys in cluster_doctor.SECRETS.items():
            self.answers[f"{core}/secrets/{name}"] = 200, {"data": dict.fromkeys(keys, "eA==")}
        for api, resource, _ in cluster_doctor.DEFINITIONS:
            self.answers[f"/apis/{api}"] = 200, {"kind": "APIResourceList", "resources": [{"name": resource}]}

    def answer(self, path: str, body: dict[str, Any], token: str) -> Answer:
        self.asked.append(path)
        time.sleep(self.slow)
        if path in self.once:
            return self.once.pop(path)
        if token != "Bearer word":
            return status(401, "Unauthorized")
        if path.startswith("/apis/authorization.k8s.io/v1/") and path not in self.answers:
            user = body["spec"].get("user", "me")
            return 201, {**body, "status": {"allowed": self.may(user, body["spec"]["resourceAttributes"])}}
        return self.answers.get(path, status(404, f'"{path}" not found'))

    def handle_error(self, *_: object) -> None:
        """A client that went away while it was kept waiting is the test's point."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        code, content = self.server.answer(self.path.partition("?")[0], body, self.headers.get("Authorization", ""))
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def doctor(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[int, list[dict[str, str]]]]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("PARFOCAL_KFP_HOST", raising=False)

    def ask(token: str = "word") -> tuple[int, list[dict[str, str]]]:
        names = {"clusters": "cluster", "contexts": "context", "users": "user"}
        parts = {
            "cluster": {"server": f"http://127.0.0.1:{server.server_port}"},
            "context": {"cluster": "one", "user": "one"},
            "user": {"token": token},
        }
        config = {many: [{"name": "one", one: parts[one]}] for many, one in names.items()} | {"current-context": "one"}
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        done = CliRunner().invoke(parfocal, ["doctor", "--cluster", "--json"])
        return done.exit_code, json.loads(done.stdout)["checks"]

    return ask


def test_a_cluster_that_has_everything_is_well(doctor: Any) -> None:
    code, checks = doctor()
    assert code == 0
    assert {check["level"] for check in checks} == {"ok"}, checks
    assert {check["name"] for check in checks} == set(cluster_doctor.CHECKS)
    says = {check["name"]: check["says"] for check in checks}
    assert says["gpu"] == "2 nvidia.com/gpu; taints: nvidia.com/gpu; 1 nodes in the pool"
    assert says["trigger"] == "parfocal-monitor may start runs and nothing else"


def test_every_missing_permission_is_named(server: Server, doctor: Any) -> None:
    server.may = lambda user, right: user == "me" and (right["verb"], right["resource"]) not in {
        ("create", "priorityclasses"), ("patch", "deployments"),
    }  # fmt: skip
    code, checks = doctor()
    assert code == 1
    said = [check["says"] for check in checks if check["name"] == "permission"]
    assert said == [
        "you may not create priorityclasses.scheduling.k8s.io in the whole cluster",
        "you may not patch deployments.apps in parfocal",
    ]
    lacking = [check["says"] for check in checks if check["name"] == "trigger"]
    assert lacking[0] == "parfocal-monitor may not create runs.pipelines.kubeflow.org"
    assert len(lacking) == len(cluster_rights.NEEDED)


def test_a_trigger_that_may_do_more_than_it_needs_is_named(server: Server, doctor: Any) -> None:
    server.may = lambda user, right: True
    _, checks = doctor()
    said = [check["says"] for check in checks if check["name"] == "trigger"]
    assert "parfocal-monitor may get secrets, and never does" in said
    assert "parfocal-monitor may create pods/exec, and never does" in said


def test_who_is_not_known_is_told_so_once(doctor: Any) -> None:
    code, checks = doctor("another word")
    assert code == 1
    assert [(check["level"], check["says"]) for check in checks] == [("fail", "the API server does not know you: 401")]


RUNNER = "system:serviceaccount:parfocal:default-editor"
TRAININGS = {
    "PARFOCAL_TRAINJOB_NODE": '{"cpu": "8"}', "PARFOCAL_TRAINJOB_RUNTIME": "parfocal-torch",
    "PARFOCAL_TRAINJOB_RUNTIME_KIND": "TrainingRuntime", "PARFOCAL_TRAINJOB_ACCOUNT": "parfocal-training",
}  # fmt: skip
RUNTIME = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/parfocal/trainingruntimes/parfocal-torch"


def trains(server: Server, **changed: str) -> None:
    """Let the cluster have TrainJobs set up, and the runs' account what they take."""
    core = "/api/v1/namespaces/parfocal"
    config = {"metadata": {"name": "parfocal"}, "data": {**TRAININGS, **changed}}
    server.answers[f"{core}/configmaps"] = listed(config)
    server.answers[f"{core}/serviceaccounts/parfocal-training"] = 200, {"metadata": {"name": "parfocal-training"}}
    server.answers[RUNTIME] = 200, {"kind": "TrainingRuntime"}
    allowed = {(one.verb, one.group, *one.resource.split("/")) for one in cluster_trainings.ASKED}
    before = server.may

    def may(user: str, right: dict[str, str]) -> bool:
        path = right["resource"].split() + ([right["subresource"]] if right["subresource"] else [])
        return (right["verb"], right["group"], *path) in allowed if user == RUNNER else before(user, right)

    server.may = may


def of_trainings(checks: list[dict[str, str]]) -> dict[str, str]:
    return {check["says"]: check["level"] for check in checks if check["name"] == "trainjobs"}


def test_a_cluster_with_trainjobs_is_well_where_the_runs_may_make_them(server: Server, doctor: Any) -> None:
    trains(server)
    code, checks = doctor()
    assert code == 0, checks
    assert of_trainings(checks) == {
        "TrainingRuntime parfocal-torch": "ok", "default-editor may do all 6 things that a TrainJob takes": "ok",
    }  # fmt: skip


def test_every_right_that_the_runs_lack_for_a_trainjob_is_named(server: Server, doctor: Any) -> None:
    trains(server, PARFOCAL_TRAINJOB_ENDED="suspend")
    before = server.may
    server.may = lambda user, right: before(user, right) and right["verb"] not in ("watch", "delete")
    code, checks = doctor()
    assert code == 1
    said = "default-editor, the account of the runs, may not"
    assert of_trainings(checks) == {"TrainingRuntime parfocal-torch": "ok"} | {
        f"{said} {verb} trainjobs.trainer.kubeflow.org": "fail" for verb in ("watch", "delete", "patch")
    }


def test_what_a_trainjob_names_and_is_not_there_is_named(server: Server, doctor: Any) -> None:
    trains(server, PARFOCAL_TRAINJOB_NODE='{"gpus": 8}')
    del server.answers[RUNTIME], server.answers["/api/v1/namespaces/parfocal/serviceaccounts/parfocal-training"]
    code, checks = doctor()
    assert code == 1
    found = [said for said, level in of_trainings(checks).items() if level == "fail"]
    assert [said.partition(":")[0] for said in found] == [
        "PARFOCAL_TRAINJOB_NODE of the ConfigMap parfocal",
        "there is no TrainingRuntime parfocal-torch",
        "there is no service account parfocal-training, which PARFOCAL_TRAINJOB_ACCOUNT names",
    ]
    assert "gpus" in found[0]


def test_a_runtime_of_the_whole_cluster_is_looked_for_there(server: Server, doctor: Any) -> None:
    trains(server, PARFOCAL_TRAINJOB_RUNTIME="", PARFOCAL_TRAINJOB_RUNTIME_KIND="")
    where = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed"
    server.answers[where] = 200, {"kind": "ClusterTrainingRuntime"}
    code, checks = doctor()
    assert code == 0 and "ClusterTrainingRuntime torch-distributed" in of_trainings(checks)


def test_what_may_not_be_seen_hides_nothing_else(server: Server, doctor: Any) -> None:
    server.answers["/api/v1/nodes"] = status(403, "nodes is forbidden")
    server.answers["/api/v1/namespaces/parfocal/secrets/parfocal"] = status(403, "secrets is forbidden")
    server.answers["/apis/authorization.k8s.io/v1/subjectaccessreviews"] = status(403, "not you")
    code, checks = doctor()
    assert code == 0  # nobody knows that anything is wrong
    assert {check["name"] for check in checks if check["level"] == "warn"} == {"gpu", "trigger", "secret parfocal"}
    assert "you may not look: nodes is forbidden" in {check["says"] for check in checks}


def test_what_is_not_there_is_named(server: Server, doctor: Any) -> None:
    for path in ("/api/v1/namespaces/parfocal", "/apis/monitoring.coreos.com/v1alpha1", "/apis/kubeflow.org/v1",
                 "/api/v1/namespaces/parfocal/secrets/parfocal-tokens"):  # fmt: skip
        del server.answers[path]
    server.answers["/api/v1/namespaces/parfocal/secrets/parfocal"] = 200, {"data": {"PARFOCAL_TOKEN": "eA=="}}
    server.answers["/api/v1/namespaces/parfocal/persistentvolumeclaims"] = listed()
    server.answers["/apis/storage.k8s.io/v1/storageclasses"] = listed(
        {"metadata": {"name": "standard"}, "provisioner": "rancher.io/local-path"}
    )
    code, checks = doctor()
    assert code == 1
    found = {check["says"]: check["level"] for check in checks if check["level"] != "ok"}
    assert found == {
        'not there: "/api/v1/namespaces/parfocal" not found': "fail",
        "alertmanagerconfigs.monitoring.coreos.com/v1alpha1 is not there": "fail",
        "profiles.kubeflow.org/v1 is not there": "warn",
        "of standard none is known to be shared by nodes": "warn",
        "parfocal lacks PARFOCAL_DATABASE_URL, PARFOCAL_PATIENT_SECRET": "fail",
        'not there: "/api/v1/namespaces/parfocal/secrets/parfocal-tokens" not found': "fail",
    }


@pytest.mark.parametrize(
    ("claim", "level"),
    [
        ({**CLAIM, "status": {"phase": "Pending"}}, "fail"),
        ({**CLAIM, "spec": {"accessModes": ["ReadWriteOnce"]}}, "warn"),
    ],
)
def test_a_claim_that_runs_cannot_share_is_named(
    server: Server, doctor: Any, claim: dict[str, Any], level: str
) -> None:
    server.answers["/api/v1/namespaces/parfocal/persistentvolumeclaims"] = listed(claim)
    _, checks = doctor()
    assert [check["level"] for check in checks if check["name"] == "storage"] == [level]


def test_gpus_without_the_pools_label_are_named(server: Server, doctor: Any) -> None:
    server.answers["/api/v1/nodes"] = listed({**GPU, "metadata": {"name": "g1", "labels": {}}})
    _, checks = doctor()
    (gpu,) = (check for check in checks if check["name"] == "gpu")
    assert gpu["level"] == "warn" and "parfocal.dev/pool=gpu" in gpu["next"]


@pytest.mark.parametrize(("code", "message"), [(409, "conflict"), (410, "too old"), (500, "etcd is away")])
def test_an_api_server_in_trouble_is_the_outsides_fault(server: Server, doctor: Any, code: int, message: str) -> None:
    server.answers["/api/v1/nodes"] = status(code, message)
    exit_code, checks = doctor()
    assert exit_code == 6
    failed = [check["says"] for check in checks if check["level"] == "fail"]
    assert failed == [f"the API server answered {code}: {message}"]


def test_an_api_server_that_is_busy_is_asked_again(server: Server, doctor: Any) -> None:
    server.once["/api/v1/nodes"] = status(429, "too many requests")
    code, _ = doctor()
    assert code == 0
    assert server.asked.count("/api/v1/nodes") == 2


def test_an_api_server_that_says_nothing_is_waited_for_once(
    server: Server, doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cluster_rights, cluster_capacity, cluster_doctor, cluster_trainings):
        monkeypatch.setattr(module, "LIMITS", (0.3, 0.3))
    server.slow = 1.0
    code, checks = doctor()
    assert code == 6
    assert len(checks) == 1 and checks[0]["says"].startswith("the API server cannot be asked")
    assert set(server.asked) == {"/version/"}, "and nothing else of a server that is silent"


def test_an_old_cluster_is_refused(server: Server, doctor: Any) -> None:
    server.answers["/version/"][1]["minor"] = "29"
    code, checks = doctor()
    assert code == 1 and checks[0]["next"] == "Kubernetes 1.30 or newer is needed"


def test_kubeflow_pipelines_is_asked_where_its_address_is_known(
    server: Server, doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARFOCAL_KFP_HOST", f"http://127.0.0.1:{server.server_port}/pipeline")
    server.answers["/pipeline/apis/v2beta1/healthz"] = 200, {"multi_user": True}
    code, checks = doctor()  # our token is not set
    assert code == 6
    (found,) = (check for check in checks if check["name"] == "kubeflow")
    assert found["says"].endswith("answers 401")
    monkeypatch.setenv("PARFOCAL_KFP_TOKEN", "word")
    code, checks = doctor()
    assert code == 0, checks


def test_without_any_cluster_it_says_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    done = CliRunner().invoke(parfocal, ["doctor", "--cluster"])
    assert isinstance(done.exception, UsageError)
    assert "KUBECONFIG" in done.exception.expected


def test_installing_takes_rights_for_every_kind_of_the_overlay() -> None:
    from manifests_kit import built

    plurals = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}
    kinds = {plurals.get(value["kind"], f"{value['kind'].lower()}s") for value in built("production")}
    before = {"secrets", "namespaces"}
    assert {resource for resource, _, _ in cluster_rights.KINDS} == kinds | before


def test_it_looks_for_the_secrets_that_the_guide_asks_for() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text()
    for name, keys in cluster_doctor.SECRETS.items():
        assert all(f"| `{name}` | `{key}`" in guide for key in keys)
