"""Label Studio's backend: its requests as it sends them, and nothing fetched from where it should not be."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import serving_kit as kit
from parfocal_serving.segmenter import label_studio_config, web
from parfocal_serving.segmenter.label_studio import LabelStudio
from parfocal_serving.segmenter.label_studio_clicks import clicks_of
from parfocal_serving.segmenter.label_studio_images import Images, LabelStudioSettings
from parfocal_serving.segmenter.problems import RequestError
from parfocal_serving.segmenter.running import Running, guarded
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker

from parfocal.augmentation.clicks import Click
from parfocal.inference.interactive import InteractivePredictor
from parfocal.preprocessing.exchange.label_studio_rle import decode
from parfocal.preprocessing.images import decode_image

PHOTO = kit.jpeg(kit.picture(1, 120, 160))
INSIDE = "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()
INTERFACE = """<View>
  <Image name="img" value="$photo"/>
  <BrushLabels name="mask" toName="img"><Label value="Optic disc" alias="disc"/><Label value="cup"/></BrushLabels>
  <KeyPointLabels name="key" toName="img" smart="true"><Label value="disc"/><Label value="Background"/></KeyPointLabels>
</View>"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    work = tmp_path_factory.mktemp("label-studio")
    kit.promote(work, kit.bundle(work / "bundle", 4), "7")
    worker = Worker(SegmenterSettings(state=work, clicks_model=str(kit.clickable(work / "clicks")), upload_mb=1))
    worker.champions.check()
    worker.clicks.start()
    kit.wait_for(lambda: worker.clicks.current is not None)
    yield worker
    worker.clicks.stop()
    worker.pools.stop()
    worker.outbox.close()


class Studio:
    """Answers with the photograph, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(self.status, content=PHOTO, headers={"Location": "http://127.0.0.1:1/"})


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def post(worker: Worker, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Running, "worker", worker, raising=False)
    settings = LabelStudioSettings(url="http://studio:8080", token="hush")
    images = Images(settings, 1_000_000, httpx.MockTransport(studio))
    backend = LabelStudio(lambda: worker, lambda work: guarded(work, worker.pools.clicking), images).app()

    async def send(path: str, content: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(backend), base_url="http://test") as client:
            return await (client.get(path) if content is None else client.post(path, json=content))

    return lambda path, content=None: asyncio.run(send(path, content))


def predict(*photos: Any, context: Any = None, config: str = INTERFACE) -> dict[str, Any]:
    return {
        "tasks": [{"id": number, "data": {"photo": photo}} for number, photo in enumerate(photos)],
        "project": "1.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": context},
    }


def key(x: float, y: float, label: str = "disc", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label]}
    return {"type": "keypointlabels", "original_width": 160, "original_height": 120, "value": value, **more}


def mask(result: dict[str, Any]) -> np.ndarray:
    assert result["value"]["format"] == "rle"
    return decode(result["value"]["rle"], result["original_height"], result["original_width"])


def test_it_is_up_and_says_its_version(post: Any) -> None:
    assert post("/health").json() == {"status": "UP", "model_class": "Parfocal"}
    assert post("/setup", {"project": "1.2", "schema": INTERFACE, "hostname": "http://x"}).json() == {
        "model_version": "7"
    }
    wrong = post("/setup", {"schema": "<View><Image name='i' value='$i'/></View>"})
    assert (wrong.status_code, wrong.json()["error"]["where"]) == (400, "label_config")


def test_tasks_get_the_champions_masks_as_brushes_and_the_monitor_hears_nothing(post: Any, worker: Worker) -> None:
    pending = worker.outbox.slot.pending
    found = post("/predict", predict(INSIDE, INSIDE)).json()["results"]
    expected = worker.champions.current.predictor.predict(decode_image(PHOTO)).masks
    assert len(found) == 2
    for one in found:
        assert one["model_version"] == "7"
        by_label = {result["value"]["brushlabels"][0]: result for result in one["result"]}
        for label, structure in (("Optic disc", "disc"), ("cup", "cup")):
            assert (by_label[label]["from_name"], by_label[label]["to_name"]) == ("mask", "img")
            np.testing.assert_array_equal(mask(by_label[label]), expected[structure])
    assert worker.outbox.slot.pending == pending


def test_an_interface_with_polygons_gets_outlines(post: Any, worker: Worker) -> None:
    polygons = INTERFACE.replace("BrushLabels", "PolygonLabels")
    (found,) = post("/predict", predict(INSIDE, config=polygons)).json()["results"]
    disc = next(one for one in found["result"] if one["value"]["polygonlabels"] == ["Optic disc"])
    corners = np.array(disc["value"]["points"]) / 100 * (160, 120) - 0.5
    redrawn = cv2.fillPoly(np.zeros((120, 160), np.uint8), [np.rint(corners).astype(np.int32)], 1) > 0
    expected = worker.champions.current.predictor.predict(decode_image(PHOTO)).masks["disc"]
    assert (redrawn & expected).sum() / (redrawn | expected).sum() > 0.9


def test_key_points_are_clicks_and_the_picture_is_fetched_once(post: Any, worker: Worker, studio: Studio) -> None:
    address = "/data/upload/1/0a1b2c3d-eye%20one.jpg"
    first = {"result": [key(50, 50)]}
    both = {"result": [key(50, 50, is_positive=1), key(25, 25, "Background"), key(10, 90, is_positive=0)]}
    for context in (first, both):
        (found,) = post("/predict", predict(address, context=context)).json()["results"]
    (result,) = found["result"]
    clicks = (Click(60, 80), Click(30, 40, False), Click(108, 16, False))
    predictor = InteractivePredictor(Path(worker.clicks.named), "disc")
    expected = predictor.predict(decode_image(PHOTO), clicks, None).mask
    assert expected.any()
    np.testing.assert_array_equal(mask(result), expected)
    assert result["value"]["brushlabels"] == ["Optic disc"]
    (asked,) = studio.asked
    assert str(asked.url) == f"http://studio:8080{address}"
    assert asked.headers["authorization"] == "Token hush"


def test_key_points_of_nothing_or_of_two_structures_are_refused() -> None:
    interface = label_studio_config.read(INTERFACE, ("disc", "cup"))
    for drawn in ([], [key(1, 1), key(1, 1, "cup")], [key(1, 1, "fovea")], [key(101, 1)], [key(1, 1, "Background")],
                  [{"type": "keypointlabels"}], [3], [{**key(1, 1), "original_width": "wide"}]):  # fmt: skip
        with pytest.raises(RequestError) as refused:
            clicks_of(drawn, interface)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/data/latest/meta-data",
        "http://studio:8081/data/upload/1/a.jpg",
        "https://studio:8080/data/upload/1/a.jpg",
        "http://studio:8080@127.0.0.1/data/upload/a.jpg",
        "http://user:word@studio:8080/data/upload/a.jpg",
        "http://studio:8080/api/users",
        "http://studio:8080/data/../api/users",
        "http://studio:8080/data/%2e%2e/api/users",
        "http://studio:8080/data/%252e%252e/api/users",
        "http://studio:8080\\@127.0.0.1/data/a.jpg",
        "//127.0.0.1/data/a.jpg",
        "http://studio:99999/data/a.jpg",
        "http://[::1/data/a.jpg",
        "file:///data/etc/passwd",
        "s3://bucket/data/a.jpg",
        "data/upload/a.jpg",
        "/data/a\r\nHost: elsewhere",
        "",
        None,
        ["x"],
        "data:image/png,notbase64",
        "data:image/png;base64,***",
    ],
)
def test_nothing_is_fetched_from_elsewhere(post: Any, studio: Studio, address: Any) -> None:
    answer = post("/predict", predict(address))
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "data")
    assert studio.asked == []


def test_a_redirect_is_not_followed_and_a_large_picture_is_not_taken(post: Any, studio: Studio) -> None:
    studio.status = 302
    assert "302" in post("/predict", predict("/data/upload/1/a.jpg")).json()["error"]["what"]
    assert len(studio.asked) == 1
    large = "data:image/png;base64," + "A" * 1_400_000
    assert post("/predict", predict(large)).status_code == 413
    assert post("/predict", predict("A" * 2_100_000)).status_code == 413


def test_with_no_label_studio_named_only_what_is_inside_a_task_is_answered() -> None:
    images = Images(LabelStudioSettings(url=""), 1000, httpx.MockTransport(lambda request: httpx.Response(500)))
    with pytest.raises(RequestError, match="no Label Studio is named"):
        asyncio.run(images.of("http://studio/data/a.jpg"))
    assert asyncio.run(images.of("data:image/png;base64,QUJD")) == b"ABC"


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"tasks": []},
        {"tasks": [1]},
        {"tasks": [{}] * 17},
        {"tasks": [{"data": {}}], "label_config": "<View"},
        {"tasks": [{"data": {}}], "label_config": "<!DOCTYPE a [<!ENTITY b 'c'>]><View>&b;</View>"},
        {"tasks": [{"data": []}], "label_config": INTERFACE},
        {"tasks": [{"data": {"photo": INSIDE}}], "label_config": INTERFACE, "params": {"context": {"result": [{}]}}},
        {"tasks": [{"data": {"photo": INSIDE}}], "label_config": INTERFACE, "params": {"context": {"result": 3}}},
        {"tasks": [{"data": {"photo": INSIDE}}], "label_config": INTERFACE, "params": [1]},
        {"tasks": [{"data": {"photo": "data:image/png;base64,QUJD"}}], "label_config": INTERFACE},
    ],
)
def test_what_label_studio_does_not_send_is_refused_with_a_reason(post: Any, content: Any) -> None:
    answer = post("/predict", content)
    assert answer.status_code in (400, 415), answer.text
    assert answer.json()["error"]["what"]


def test_it_is_mounted_where_the_readme_says() -> None:
    assert any(getattr(route, "path", "") == "/label-studio" for route in web.app.routes)
