"""A Kubeflow Pipelines API on a free port that accepts nothing the `kfp-server-api` models do not know.

Every request body and filter is turned into the model that the API declares and back; a key that is lost on the way, or
a value that the model refuses, answers 400. Every answer is made from a model. State is kept as a server would keep it.
"""

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

CLIENT = api.ApiClient()
PREFIX = "/apis/v2beta1"
SILENCE, CUT, LOST = "silence", "cut", "lost"
"""Moods beside the status codes: no answer in time, a connection that breaks, and one that breaks when what
was asked for is done."""


class Raw:
    """What `ApiClient.deserialize` reads."""

    def __init__(self, values: object) -> None:
        self.data = json.dumps(values)


def strictly(values: object, model: str) -> Any:
    """`values` as that model; a key that the model does not know is an error."""
    read = CLIENT.deserialize(Raw(values), model)
    back = CLIENT.sanitize_for_serialization(read)
    assert back == values, f"{model} does not say {json.dumps(values)} but {json.dumps(back)}"
    return read


class MissingError(Exception):
    """404."""


class Server(ThreadingHTTPServer):
    """What the API remembers, and every request it got."""

    def __init__(self, token: str, multi_user: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.multi_user = token, multi_user
        self.experiments: list[Any] = []
        self.pipelines: list[Any] = []
        self.versions: list[Any] = []
        self.runs: list[Any] = []
        self.recurring: list[Any] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.complaints: list[str] = []
        self.broken: bytes | None = None
        """Answer everything with this page, status 200."""
        self.moods: dict[str, list[int | str]] = defaultdict(list)
        """Route, such as ``create_run``, to what it does instead, in turn."""
        self.retry_after = ""
        """Header of a mood's answer; empty: none."""
        self.page: bytes | None = None
        """What stands in a mood's answer where something before the API says no; None: what the API says."""

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def said(self, method: str, path: str) -> list[dict[str, str]]:
        return [query for verb, where, query in self.requests if (verb, where) == (method, PREFIX + path)]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, *_: object) -> None: ...

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((method, parts.path, query))
        if self.server.broken is not None:
            self._send(200, self.server.broken, "text/html")
            return
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._fail(401, "Unauthenticated: no valid token")
            return
        act, names = self._route(method, parts.path.removeprefix(PREFIX))
        route = act.__name__.removeprefix("_")
        mood = self.server.moods[route].pop(0) if self.server.moods[route] else None
        if isinstance(mood, int):
            self._refuse(mood, f"{route} says {mood}")
            return
        if mood in (SILENCE, CUT):
            time.sleep(0.8 if mood == SILENCE else 0.0)
            self.close_connection = True
            return
        try:
            model = act(*names, query=query, body=body)
        except MissingError as error:
            self._fail(404, str(error))
        except Exception as error:
            self.server.complaints.append(f"{method} {self.path}: {error}")
            self._fail(400, str(error))
        else:
            if mood != LOST:
                self._send(200, json.dumps(CLIENT.sanitize_for_serialization(model)).encode())

    def _route(self, method: str, path: str) -> tuple[Any, tuple[str, ...]]:
        routes = {
            ("GET", r"/healthz"): self._health,
            ("GET", r"/experiments"): self._list_experiments,
            ("POST", r"/experiments"): self._create_experiment,
            ("GET", r"/pipelines"): self._list_pipelines,
            ("POST", r"/pipelines"): self._create_pipeline,
            ("GET", r"/pipelines/([^/]+)/versions"): self._list_versions,
            ("POST", r"/pipelines/upload_version"): self._upload_version,
            ("GET", r"/runs"): self._list_runs,
            ("POST", r"/runs"): self._create_run,
            ("GET", r"/runs/([^/]+)"): self._get_run,
            ("GET", r"/recurringruns"): self._list_recurring,
            ("POST", r"/recurringruns"): self._create_recurring,
        }
        for (verb, pattern), act in routes.items():
            if verb == method and (match := re.fullmatch(pattern, path)):
                return act, match.groups()
        return self._unknown, ()

    def _unknown(self, *, query: dict[str, str], body: bytes) -> Any:
        raise MissingError("Not Found")

    def _health(self, *, query: dict[str, str], body: bytes) -> Any:
        return api.V2beta1GetHealthzResponse(multi_user=self.server.multi_user)

    def _list_experiments(self, *, query: dict[str, str], body: bytes) -> Any:
        self._check_namespace(query.get("namespace"))
        found = [e for e in self.server.experiments if matches(query, e) and same_place(query, e)]
        return api.V2beta1ListExperimentsResponse(experiments=found or None, total_size=len(found))

    def _create_experiment(self, *, query: dict[str, str], body: bytes) -> Any:
        made = strictly(json.loads(body), "V2beta1Experiment")
        self._check_namespace(made.namespace)
        made.experiment_id = f"experiment-{len(self.server.experiments)}"
        self.server.experiments.append(made)
        return made

    def _list_pipelines(self, *, query: dict[str, str], body: bytes) -> Any:
        self._check_namespace(query.get("namespace"))
        found = [p for p in self.server.pipelines if matches(query, p) and same_place(query, p)]
        return api.V2beta1ListPipelinesResponse(pipelines=found or None, total_size=len(found))

    def _create_pipeline(self, *, query: dict[str, str], body: bytes) -> Any:
        made = strictly(json.loads(body), "V2beta1Pipeline")
        self._check_namespace(made.namespace)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", made.name), "pipeline names are Kubernetes names"
        assert all(made.name != p.name or made.namespace != p.namespace for p in self.server.pipelines), "name taken"
        made.pipeline_id = f"pipeline-{len(self.server.pipelines)}"
        self.server.pipelines.append(made)
        return made

    def _list_versions(self, pipeline_id: str, *, query: dict[str, str], body: bytes) -> Any:
        found = [v for v in self.server.versions if v.pipeline_id == pipeline_id and matches(query, v)]
        return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found or None, total_size=len(found))

    def _upload_version(self, *, query: dict[str, str], body: bytes) -> Any:
        assert set(query) <= {"name", "display_name", "pipelineid", "description", "tags"}, query
        assert query["pipelineid"] in {p.pipeline_id for p in self.server.pipelines}, "no such pipeline"
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = message_from_bytes(head + body).get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        spec, *platform = yaml.safe_load_all(part.get_payload(decode=True))
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for document in platform:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
        made = api.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=f"version-{len(self.server.versions)}",
            name=query["name"],
            display_name=query.get("display_name", query["name"]),
            pipeline_spec={"pipeline_spec": spec, "platform_spec": platform[0] if platform else {}},
        )
        self.server.versions.append(made)
        return made

    def _list_runs(self, *, query: dict[str, str], body: bytes) -> Any:
        found = [r for r in self.server.runs if r.experiment_id == query["experiment_id"] and matches(query, r)]
        return api.V2beta1ListRunsResponse(runs=found or None, total_size=len(found))

    def _create_run(self, *, query: dict[str, str], body: bytes) -> Any:
        made = strictly(json.loads(body), "V2beta1Run")
        self._check_reference(made)
        made.run_id = f"run-{len(self.server.runs)}"
        made.state = "PENDING"
        self.server.runs.append(made)
        return made

    def _list_recurring(self, *, query: dict[str, str], body: bytes) -> Any:
        found = [r for r in self.server.recurring if r.experiment_id == query["experiment_id"] and matches(query, r)]
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=found or None, total_size=len(found))

    def _create_recurring(self, *, query: dict[str, str], body: bytes) -> Any:
        said = json.loads(body)
        said["max_concurrency"] = str(said["max_concurrency"])  # protobuf's JSON takes an int64 as a number too
        made = strictly(said, "V2beta1RecurringRun")
        self._check_reference(made)
        assert len(made.trigger.cron_schedule.cron.split()) == 6, "Kubeflow's cron has six fields"
        made.recurring_run_id = f"recurring-{len(self.server.recurring)}"
        self.server.recurring.append(made)
        return made

    def _check_reference(self, made: Any) -> None:
        """It names a version that is here, and gives it its parameters and no others."""
        assert made.experiment_id in {e.experiment_id for e in self.server.experiments}, "no such experiment"
        chosen = made.pipeline_version_reference
        (version,) = [
            v
            for v in self.server.versions
            if (v.pipeline_id, v.pipeline_version_id) == (chosen.pipeline_id, chosen.pipeline_version_id)
        ]
        wanted = version.pipeline_spec["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        assert set(made.runtime_config.parameters) == set(wanted), "the parameters are not those of the pipeline"
        kinds = {"STRING": str, "STRUCT": dict}
        for name, value in made.runtime_config.parameters.items():
            assert isinstance(value, kinds[wanted[name]["parameterType"]]), f"{name} is {value!r}"

    def _get_run(self, run_id: str, *, query: dict[str, str], body: bytes) -> Any:
        for run in self.server.runs:
            if run.run_id == run_id:
                return run
        raise MissingError(f"Failed to get a run: ResourceNotFoundError: Run {run_id} not found")

    def _check_namespace(self, namespace: str | None) -> None:
        assert bool(namespace) == self.server.multi_user, "a namespace, where several users are served and only there"

    def _fail(self, status: int, message: str) -> None:
        answer = api.GoogleRpcStatus(code=status, message=message)
        self._send(status, json.dumps(CLIENT.sanitize_for_serialization(answer)).encode())

    def _refuse(self, status: int, message: str) -> None:
        if self.server.page is None:
            self._fail(status, message)
        else:
            self._send(status, self.server.page, "text/html")

    def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        if self.server.retry_after and status >= 400:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def same_place(query: dict[str, str], item: Any) -> bool:
    """No namespace may be said by an empty one."""
    return (item.namespace or "") == query.get("namespace", "")


def matches(query: dict[str, str], item: Any) -> bool:
    """Whether an item passes the request's filter, which must be a V2beta1Filter (in protobuf's JSON)."""
    if "filter" not in query:
        return True
    said = json.loads(query["filter"])
    numbers = {1: "EQUALS"}
    for predicate in said["predicates"]:
        predicate["operation"] = numbers.get(predicate["operation"], predicate["operation"])
        predicate["string_value"] = predicate.pop("stringValue")
    wanted = strictly(said, "V2beta1Filter")
    assert all(p.operation == "EQUALS" and p.key in item.openapi_types for p in wanted.predicates), said
    return all(getattr(item, p.key) == p.string_value for p in wanted.predicates)


@contextmanager
def serving(*, token: str = "", multi_user: bool = False) -> Iterator[Server]:
    """A server on a free port. What it complained of is a failed test, whatever the client made of it."""
    server = Server(token, multi_user)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert server.complaints == []
