"""Label Studio's machine learning backend: masks before a person looks, and an answer to every key point.

What Label Studio calls (label-studio-ml-backend, label_studio_ml/api.py): GET /health, POST /setup, POST /predict with
`tasks`, `label_config` and, of a smart tool, `params.context.result`. Nothing of it is told to the monitor: what people
label is not what a clinic sends.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from parfocal_serving.segmenter import codecs, label_studio_config, readiness
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.label_studio_clicks import clicks_of, drawn_so_far
from parfocal_serving.segmenter.label_studio_config import Interface
from parfocal_serving.segmenter.label_studio_images import Images, LabelStudioSettings
from parfocal_serving.segmenter.pressure import paced
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.refine import Asked
from parfocal_serving.segmenter.worker import Worker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parfocal.core.errors import DataContractError
from parfocal.preprocessing.exchange import label_studio_rle

MOST_TASKS = 16
REMEMBERED = 256
"""Pictures by address whose case is known, so that a key point need not fetch its picture again."""
Mask = NDArray[np.bool_]
Guarded = Callable[[Callable[[], Awaitable[Response]]], Awaitable[Response]]


class LabelStudio:
    """The backend of one worker.

    Args:
        worker: that answers, once there is one.
        guarded: does the work of a request within its time, and makes answers of errors.
        images: where pictures come from; None: from what the environment names.
    """

    def __init__(self, worker: Callable[[], Worker], guarded: Guarded, images: Images | None = None) -> None:
        self._worker, self._guarded, self._given = worker, guarded, images
        self._cases: OrderedDict[str, str] = OrderedDict()

    def app(self) -> Starlette:
        """To be mounted."""
        routes = [
            Route("/", self.health, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/setup", self.setup, methods=["POST"]),
            Route("/predict", self.predict, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def health(self, request: Request) -> Response:  # noqa: ARG002
        """Whether a champion is here."""
        up = self._worker().champions.current is not None
        return JSONResponse({"status": "UP" if up else "DOWN", "model_class": "Parfocal"}, 200 if up else 503)

    async def setup(self, request: Request) -> Response:
        """Told of a project: the model's version. The interface is looked at, so that a wrong one is said at once."""
        return await self._guarded(partial(self._setup, request))

    async def predict(self, request: Request) -> Response:
        """Masks of tasks, or of a key point's structure."""
        return await self._guarded(partial(self._predict, request))

    @cached_property
    def _images(self) -> Images:
        return self._given or Images(LabelStudioSettings(), self._worker().settings.upload_bytes)

    async def _setup(self, request: Request) -> Response:
        said, champion = await self._json(request), self._champion()
        if said.get("schema"):
            label_studio_config.read(said["schema"], champion.predictor.bundle.structures)
        return JSONResponse({"model_version": _version(champion)})

    async def _predict(self, request: Request) -> Response:
        said, champion = await self._json(request), self._champion()
        tasks = said.get("tasks")
        if (
            not isinstance(tasks, list)
            or not 0 < len(tasks) <= MOST_TASKS
            or not all(isinstance(t, dict) for t in tasks)
        ):
            raise RequestError(400, "no tasks, or too many", where="tasks", expected=f"1 to {MOST_TASKS}")
        interface = label_studio_config.read(said.get("label_config"), champion.predictor.bundle.structures)
        if drawn := drawn_so_far(said):
            return JSONResponse({"results": [await self._clicked(tasks[0], drawn, interface, champion)]})
        return JSONResponse({"results": [await self._drawn(task, interface, champion) for task in tasks]})

    async def _drawn(self, task: Mapping[str, Any], interface: Interface, champion: Champion) -> dict[str, Any]:
        worker = self._worker()
        data = await self._images.of(_named(task, interface))

        def work() -> Mapping[str, Mask]:
            image = codecs.decode(data, worker.settings.pixels, worker.settings.task).image
            try:
                return champion.predictor.predict(image).masks
            except DataContractError as error:
                raise RequestError(400, error.what, where="data", expected=error.expected, next=error.next) from None

        masks = await _computed(worker, work)
        results = [_result(masks[name], interface, name) for name in interface.labels if masks[name].any()]
        return {"result": results, "model_version": _version(champion)}

    async def _clicked(
        self, task: Mapping[str, Any], drawn: Sequence[Any], interface: Interface, champion: Champion
    ) -> dict[str, Any]:
        worker = self._worker()
        model = worker.refiner.model()
        structure, clicks = clicks_of(drawn, interface)
        said = _named(task, interface)
        case = self._cases.get(said, "")
        for tried in ("case", "picture") if case else ("picture",):
            image = None if tried == "case" else await self._images.of(said)
            asked = Asked(structure, clicks, case if tried == "case" else "", image, None, None, None, "rle", None)
            try:
                work = partial(worker.refiner.refine, model, champion, asked, time.perf_counter())
                answer = json.loads(await _computed(worker, work))
                break
            except RequestError as error:
                if error.status != 404 or tried == "picture":  # another worker has seen it, or it is forgotten
                    raise
        if not said.startswith("data:"):
            self._remember(said, answer["case"])
        runs = answer["rle"]
        inside = np.repeat(np.arange(len(runs["counts"])) % 2 == 1, runs["counts"])
        mask = np.ascontiguousarray(inside.reshape(runs["size"][::-1]).T)
        found = [_result(mask, interface, structure)] if mask.any() else []
        return {"result": found, "model_version": model.version or model.checksum[:12]}

    def _remember(self, address: str, case: str) -> None:
        self._cases[address] = case
        self._cases.move_to_end(address)
        while len(self._cases) > REMEMBERED:
            self._cases.popitem(last=False)

    def _champion(self) -> Champion:
        worker = self._worker()
        if (champion := worker.champions.current) is None:
            raise readiness.no_champion(worker)
        return champion

    async def _json(self, request: Request) -> dict[str, Any]:
        most, data = 2 * self._worker().settings.upload_bytes, b""  # base64 is a third longer, and tasks have more
        with self._worker().pools.clicking.upload():
            async for chunk in paced(request.stream()):
                data += chunk
                if len(data) > most:
                    raise RequestError(413, "the request is too large", expected=f"at most {most / 1e6:g} MB")
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RequestError(400, "the request is no JSON object", expected="as Label Studio sends it")
        return found


def _result(mask: Mask, interface: Interface, structure: str) -> dict[str, Any]:
    height, width = mask.shape
    label = interface.labels[structure]
    value: dict[str, Any] = {"format": "rle", "rle": label_studio_rle.encode(mask)}
    if interface.kind == "polygonlabels":
        outlines: Any = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        corners = (max(outlines, key=cv2.contourArea)[:, 0] + 0.5) / (width, height) * 100
        value = {"points": corners.round(4).tolist(), "closed": True}
    return {
        "id": uuid4().hex[:10],
        "from_name": interface.name,
        "to_name": interface.to,
        "type": interface.kind,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "readonly": False,
        "value": {**value, interface.kind: [label]},
    }


def _named(task: Mapping[str, Any], interface: Interface) -> str:
    data = task.get("data")
    said = data.get(interface.value) if isinstance(data, dict) else None
    if not isinstance(said, str):
        raise RequestError(400, "the task names no picture", where="data", expected=f"'{interface.value[:40]}'")
    return said


def _version(champion: Champion) -> str:
    return champion.version or champion.checksum[:12]


async def _computed(worker: Worker, work: Callable[[], Any]) -> Any:
    pressure = worker.pools.clicking
    with pressure.place():
        return await asyncio.get_running_loop().run_in_executor(worker.pools.click, pressure.timed, work)
