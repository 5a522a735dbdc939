"""A client that a program made of /openapi.json, spoken to the routes with."""

import asyncio
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import serving_kit as kit
from parfocal_serving.segmenter import openapi, web
from parfocal_serving.segmenter.running import Running
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker

pytest.importorskip("openapi_python_client", reason="needs parfocal[dev]")
pytestmark = pytest.mark.slow
PHOTO = kit.jpeg(kit.picture(1, 120, 160))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    kit.promote(tmp_path, kit.bundle(tmp_path / "bundle", 4), "7")
    clicks = kit.clickable(tmp_path / "clicks")
    worker = Worker(SegmenterSettings(state=tmp_path, clicks_model=str(clicks)))
    worker.champions.check()
    worker.clicks.start()
    kit.wait_for(lambda: worker.clicks.current is not None)
    monkeypatch.setattr(Running, "worker", worker, raising=False)
    yield worker
    worker.clicks.stop()
    worker.pools.stop()
    worker.outbox.close()


def test_a_generated_client_segments_refines_and_asks(worker: Worker, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(openapi.document(worker.settings)))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(tmp_path / "openapi.json"),
               "--meta", "none", "--output-path", str(tmp_path / "made"), "--fail-on-warning"]  # fmt: skip
    paths = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    made = {
        name: importlib.import_module(f"made.{name}")
        for name in ("client", "types", "models", "api.default.segment", "api.default.refine", "api.default.models")
    }
    names = made["models"]

    def photo() -> Any:
        return made["types"].File(io.BytesIO(PHOTO), "photo.jpg", "image/jpeg")

    async def talk() -> None:
        client = made["client"].Client(base_url="http://test")
        client.set_async_httpx_client(httpx.AsyncClient(base_url="http://test", transport=httpx.ASGITransport(web.app)))
        body = names.SegmentBody(image=photo(), masks=names.SegmentBodyMasks.RLE, eye=names.SegmentBodyEye.LEFT)
        found = await made["api.default.segment"].asyncio(client=client, body=body)
        assert isinstance(found, names.Segmentation), found
        assert found.isnt.follows in (True, False)
        disc = found.structures["disc"]
        assert sum(disc.rle.counts[1::2]) == disc.area
        clicks = json.dumps([{"row": 60, "column": 80}, {"row": 5, "column": 5, "object": False}])
        click = names.RefineBody(case=found.request_id, structure="disc", clicks=clicks)
        refined = await made["api.default.refine"].asyncio(client=client, body=click)
        assert isinstance(refined, names.Refinement), refined
        assert refined.case == found.request_id
        wrong = await made["api.default.refine"].asyncio(client=client, body=names.RefineBody(case="gone"))
        assert isinstance(wrong, names.Problem)
        models = await made["api.default.models"].asyncio(client=client)
        assert models.champion.version == "7"

    asyncio.run(talk())


def test_the_document_says_every_field_of_a_form_as_clients_can_send_it() -> None:
    document = openapi.document(SegmenterSettings())
    for path in ("/segment", "/refine"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        for name, field in body["properties"].items():
            assert field["type"] in ("string", "integer"), name
            assert (field.get("format") == "binary") is (name in ("image", "previous", "outer"))
