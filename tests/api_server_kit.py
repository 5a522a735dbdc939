"""An HTTP server that keeps TrainJobs, pods and their logs as a Kubernetes API server does, its moods included."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "word"
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/parfocal/trainjobs"
PODS = "/api/v1/namespaces/parfocal/pods"
SILENCE, CUT, GONE_EVENT, WRONG = "silence", "cut", "gone event", "wrong"
"""Moods beside the status codes: no answer, a connection that breaks, an expired watch, half a line."""


def failure(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


class ApiServer(ThreadingHTTPServer):
    """Jobs by name. `moods` maps create, get, watch, delete, patch, pods or log to what it does instead, in turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.changed = threading.Condition()
        self.version = 100
        self.oldest = 0
        self.jobs: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.pods: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = defaultdict(list)
        self.moods: dict[str, list[Any]] = defaultdict(list)
        self.asked: list[str] = []
        self.unheard: set[str] = set()
        """Pods with lines of which not all were sent, and of which none was refused."""
        self.created: Callable[[dict[str, Any]], None] = lambda job: None

    def put(self, kind: str, job: dict[str, Any]) -> dict[str, Any]:
        """Record an event about a job."""
        with self.changed:
            self.version += 1
            job["metadata"]["resourceVersion"] = str(self.version)
            stored = json.loads(json.dumps(job))
            self.events.append((self.version, kind, stored))
            if kind == "DELETED":
                self.jobs.pop(job["metadata"]["name"], None)
            else:
                self.jobs[job["metadata"]["name"]] = stored
            self.changed.notify_all()
            return stored

    def condition(self, name: str, kind: str, reason: str = "", message: str = "") -> None:
        """What the controller writes when a job has ended."""
        job = json.loads(json.dumps(self.jobs[name]))
        found = {"type": kind, "status": "True", "reason": reason, "message": message}
        job.setdefault("status", {}).setdefault("conditions", []).append(found)
        self.put("MODIFIED", job)

    def pod(self, job: str, index: int, phase: str = "Running", **status: Any) -> str:
        name = f"{job}-node-0-{index}-abcde"
        labels = {"jobset.sigs.k8s.io/jobset-name": job, "batch.kubernetes.io/job-completion-index": str(index)}
        metadata = {"name": name, "labels": labels}
        self.pods[name] = {"metadata": metadata, "status": {"phase": phase, **status}}
        return name

    def write(self, pod: str, line: str) -> None:
        with self.changed:
            self.unheard.add(pod)
            self.logs[pod].append(f"{datetime.now(UTC).isoformat()}{len(self.logs[pod]):03d}Z {line}")
            self.changed.notify_all()

    def looked(self) -> None:
        """Wait until somebody has seen the pods as they are: who asks again has read the answer before."""
        until = self.asked.count("pods") + 3
        while self.asked.count("pods") < until:
            time.sleep(0.02)

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        kind, name = self._kind(method, url.path)
        self.server.asked.append(kind)
        mood = self.server.moods[kind].pop(0) if self.server.moods[kind] else None
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            mood = 401
        if kind == "log" and mood == 404:
            self.server.unheard.discard(name)
        if isinstance(mood, int):
            reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists", 410: "Expired"}
            self._answer(mood, failure(mood, reasons.get(mood, "Trouble"), f"{kind} gives {mood}"))
        elif mood in (SILENCE, CUT):
            time.sleep(1.0 if mood == SILENCE else 0.0)
            self.close_connection = True
        elif kind == "unknown":
            self._answer(404, failure(404, "NotFound", "the server could not find the requested resource"))
        else:
            getattr(self, f"_{kind}")(name, mood)

    def _kind(self, method: str, path: str) -> tuple[str, str]:
        if path == JOBS and method == "GET":
            return "watch" if self.query.get("watch") else "list", ""
        if path == JOBS:
            return "create", self.body["metadata"]["name"]
        if path.startswith(f"{JOBS}/"):
            return {"GET": "get", "DELETE": "delete", "PATCH": "patch"}[method], path.removeprefix(f"{JOBS}/")
        if path == PODS:
            return "pods", ""
        if path.startswith(PODS) and path.endswith("/log"):
            return "log", path.removeprefix(f"{PODS}/").removesuffix("/log")
        return "unknown", ""

    def _create(self, name: str, mood: object) -> None:
        if name in self.server.jobs:
            message = f'trainjobs.trainer.kubeflow.org "{name}" already exists'
            self._answer(409, failure(409, "AlreadyExists", message))
            return
        self.body["metadata"] |= {"uid": "u", "generation": 1}
        job = self.server.put("ADDED", self.body)
        self._answer(201, job)
        threading.Thread(target=self.server.created, args=(job,), daemon=True).start()

    def _get(self, name: str, mood: object) -> None:
        job = self.server.jobs.get(name)
        if job is None:
            self._answer(404, failure(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{name}" not found'))
        else:
            self._answer(200, job)

    def _delete(self, name: str, mood: object) -> None:
        if name not in self.server.jobs:
            self._get(name, mood)
            return
        self.server.put("DELETED", self.server.jobs[name])
        self._answer(200, {"kind": "Status", "status": "Success"})

    def _patch(self, name: str, mood: object) -> None:
        if self.headers["Content-Type"] != "application/merge-patch+json":  # no other kind is for custom resources
            self._answer(415, failure(415, "UnsupportedMediaType", self.headers["Content-Type"]))
            return
        job = merged(self.server.jobs[name], self.body)
        self._answer(200, self.server.put("MODIFIED", job))

    def _watch(self, name: str, mood: object) -> None:
        since, wanted = int(self.query["resourceVersion"]), self.query["fieldSelector"].removeprefix("metadata.name=")
        until = time.monotonic() + int(self.query["timeoutSeconds"])
        self._stream()
        if mood == WRONG:
            self._chunk(b'{"type": "MODIF')
            self.close_connection = True
            return
        if mood == GONE_EVENT or since < self.server.oldest:
            said = failure(410, "Expired", "too old resource version")
            self._chunk(json.dumps({"type": "ERROR", "object": said}).encode() + b"\n")
            self._chunk(b"")
            return
        while (left := until - time.monotonic()) > 0:
            with self.server.changed:
                new = [one for one in self.server.events if one[0] > since]
                if not new:
                    self.server.changed.wait(left)
            for version, kind, job in new:
                since = version
                if job["metadata"]["name"] == wanted:
                    self._chunk(json.dumps({"type": kind, "object": job}).encode() + b"\n")
        self._chunk(b"")

    def _pods(self, name: str, mood: object) -> None:
        label, _, value = self.query["labelSelector"].partition("=")
        found = [pod for pod in list(self.server.pods.values()) if pod["metadata"]["labels"].get(label) == value]
        self._answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found})

    def _log(self, name: str, mood: object) -> None:
        self._stream()
        sent = 0
        while True:
            with self.server.changed:
                lines = self.server.logs[name][sent:]
                ended = self.server.pods[name]["status"]["phase"] != "Running"
                if not lines and not ended:
                    self.server.changed.wait(0.2)
            for line in lines:
                self._chunk(line.encode() + b"\n")
                sent += 1
                if mood == WRONG:
                    self.close_connection = True
                    return
            with self.server.changed:
                if sent == len(self.server.logs[name]):
                    self.server.unheard.discard(name)
            if ended and not lines:
                self._chunk(b"")
                return

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "0.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None: ...


def merged(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7396)."""
    result = dict(old)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result.get(key, {}), value)
        else:
            result[key] = value
    return result


@contextmanager
def api_server() -> Iterator[ApiServer]:
    server = ApiServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(file: Path, server: ApiServer, token: str = TOKEN) -> Path:
    """A file that names the server and who asks."""
    config = {
        "clusters": [{"name": "one", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "one", "user": {"token": token}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    with suppress(FileExistsError):
        file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(config))
    return file
