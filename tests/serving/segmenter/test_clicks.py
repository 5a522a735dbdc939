"""Clicks, and who answers: the routes of one worker over HTTP, without BentoML round them."""

import base64
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest
import serving_kit as kit
import uvicorn
from parfocal_serving.segmenter import catalog, click_fetch, click_model, forms, openapi, schemas, web
from parfocal_serving.segmenter.codecs import rle
from parfocal_serving.segmenter.recent import Recent, Seen
from parfocal_serving.segmenter.refine import Refiner
from parfocal_serving.segmenter.running import Running
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker
from starlette.routing import Route

from parfocal.augmentation.clicks import Click
from parfocal.client import Click as Pressed
from parfocal.client import Client, RefusedError
from parfocal.core import manifest
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import decode_image

PHOTO = kit.jpeg(kit.picture(1))
CLICKS = [Click(110, 150), Click(60, 100, object=False)]
JSON = json.dumps([{"row": 110, "column": 150, "object": True}, {"row": 60, "column": 100, "object": False}])


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("bundles")
    return SimpleNamespace(champion=kit.bundle(folder / "champion"), clicks=kit.clickable(folder / "clicks"))


@pytest.fixture(scope="module")
def service(bundles: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    state = tmp_path_factory.mktemp("state")
    kit.promote(state, bundles.champion, "7")
    settings = SegmenterSettings(
        state=state, clicks_model=str(bundles.clicks), threads=2, upload_mb=0.5, megapixels=2, patient_secret="x"
    )
    worker = Running.worker = Worker(settings)
    worker.start()
    assert worker.clicks.current is not None, worker.clicks.trouble
    port = kit.free_port()
    server = uvicorn.Server(uvicorn.Config(web.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    kit.wait_for(lambda: server.started)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=kit.FRESH) as http:
        yield SimpleNamespace(http=http, url=f"http://127.0.0.1:{port}", worker=worker)
    server.should_exit = True
    thread.join(10)
    worker.stop()


def refine(service: SimpleNamespace, *, image: bytes | None = PHOTO, files: dict | None = None, **texts: str):
    parts = {name: (None, text) for name, text in ({"structure": "disc", "clicks": JSON} | texts).items()}
    pictures = {} if image is None else {"image": ("a.jpg", image)}
    return service.http.post("/refine", files=parts | pictures | {k: (k, v) for k, v in (files or {}).items()})


def mask_of(answer: dict) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(answer["mask"]), np.uint8), cv2.IMREAD_GRAYSCALE) > 0


def png(mask: np.ndarray) -> bytes:
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def test_clicks_are_answered_as_in_process_and_the_next_ones_need_no_picture(
    service: SimpleNamespace, bundles: SimpleNamespace
) -> None:
    image, predictor = decode_image(PHOTO), InteractivePredictor(bundles.clicks, "disc")
    first = refine(service)
    assert first.status_code == 200, first.text
    expected = predictor.predict(image, CLICKS)
    assert 0 < expected.mask.mean() < 1, "an answer of nothing proves nothing"
    np.testing.assert_array_equal(mask_of(first.json()), expected.mask)
    assert first.json()["box"] == {"top": expected.box.top, "left": expected.box.left,
                                   "bottom": expected.box.bottom, "right": expected.box.right}  # fmt: skip
    previous = np.zeros(image.shape[:2], bool)
    previous[80:160, 120:200] = True
    again = refine(service, image=None, case=first.json()["case"], files={"previous": png(previous)})
    np.testing.assert_array_equal(mask_of(again.json()), predictor.predict(image, CLICKS, previous).mask)
    assert again.json()["case"] == first.json()["case"]
    assert (mask_of(again.json()) != mask_of(first.json())).any(), "the previous answer was heard"


def test_a_picture_that_segment_has_answered_is_a_case_and_its_disc_says_where_the_cup_is(
    service: SimpleNamespace, bundles: SimpleNamespace
) -> None:
    case = service.http.post("/segment", files={"image": ("a.jpg", PHOTO)}).json()["request_id"]
    image, predictor = decode_image(PHOTO), InteractivePredictor(bundles.clicks, "cup")
    disc = Predictor(bundles.champion).predict(image).masks["disc"]
    inside = np.argwhere(disc)[len(np.argwhere(disc)) // 2].tolist()
    clicks = json.dumps([{"row": inside[0], "column": inside[1]}])
    found = refine(service, image=None, case=case, structure="cup", clicks=clicks)
    assert found.status_code == 200, found.text
    assert found.json()["outer"] == "champion"
    np.testing.assert_array_equal(mask_of(found.json()), predictor.predict(image, [Click(*inside)], outer=disc).mask)
    drawn = np.zeros(image.shape[:2], bool)
    drawn[60:180, 90:230] = True
    given = refine(service, structure="cup", clicks='[{"row": 100, "column": 150}]', files={"outer": png(drawn)})
    assert given.json()["outer"] == "given"
    expected = predictor.predict(image, [Click(100, 150)], outer=drawn).mask
    np.testing.assert_array_equal(mask_of(given.json()), expected)


def test_clicks_tell_the_monitor_nothing(service: SimpleNamespace) -> None:
    slot = service.worker.outbox.slot
    service.http.post("/segment", files={"image": ("a.jpg", PHOTO)})
    before = slot.pending
    assert before
    refine(service)
    assert slot.pending == before


@pytest.mark.parametrize(
    ("asked", "status", "where"),
    [
        ({"image": None}, 400, "image"),
        ({"case": "both"}, 400, "image"),
        ({"image": None, "case": "0" * 32}, 404, "case"),
        ({"structure": "lung"}, 400, "structure"),
        ({"structure": ""}, 400, "structure"),
        ({"clicks": "[[1, 2]]"}, 400, "clicks.0"),
        ({"clicks": '[{"row": 1.5, "column": 2}]'}, 400, "clicks.0.row"),
        ({"clicks": '[{"row": -1, "column": 2}]'}, 400, "clicks.0.row"),
        ({"clicks": "nothing"}, 400, "clicks"),
        ({"clicks": json.dumps([{"row": 1, "column": 1}] * 501)}, 400, "clicks"),
        ({"clicks": '[{"row": 500, "column": 2}]'}, 400, "clicks"),
        ({"clicks": '[{"row": 0, "column": 0}]'}, 400, "clicks"),
        ({"image": b"GIF89a" + bytes(100)}, 415, "image"),
        ({"files": {"previous": PHOTO}}, 415, "previous"),
        ({"files": {"previous": png(np.zeros((9, 9), bool))}}, 400, "previous"),
        ({"files": {"previous": png(np.zeros((240, 320), bool))[:60]}}, 400, "previous"),
        ({"masks": "svg"}, 400, "masks"),
        ({"spacing": "0,1"}, 400, "spacing"),
        ({"spacing": "nan,1"}, 400, "spacing"),
        ({"image": bytes(600_000)}, 413, ""),
    ],
)
def test_what_cannot_be_refined_is_refused_with_a_reason(
    service: SimpleNamespace, asked: dict, status: int, where: str
) -> None:
    response = refine(service, **asked)
    assert (response.status_code, response.json()["error"]["where"]) == (status, where), response.text
    schemas.Problem.model_validate(response.json())
    assert str(status) in openapi.document(service.worker.settings)["paths"]["/refine"]["post"]["responses"]


def test_a_case_that_is_gone_says_to_send_the_picture_and_the_client_does(service: SimpleNamespace) -> None:
    clicks = [Pressed(110, 150), Pressed(60, 100, object=False)]
    with Client(service.url) as client:
        with pytest.raises(RefusedError, match="not remembered") as gone:
            client.refine("disc", clicks, case="0" * 32)
        assert (gone.value.status, "send the picture" in gone.value.next) == (404, True)
        sent = client.refine("disc", clicks, case="0" * 32, image=PHOTO)
        again = client.refine("disc", clicks, case=sent.case, masks="rle")
        np.testing.assert_array_equal(sent.found.pixels(), mask_of(refine(service).json()))
        np.testing.assert_array_equal(again.found.pixels(), sent.found.pixels())
        assert again.found.mask == b""


def test_without_a_model_that_answers_clicks_it_says_what_to_do(service: SimpleNamespace, tmp_path: Path) -> None:
    own, service.worker.refiner = (
        service.worker.refiner,
        Refiner(service.worker.settings, click_model.Clicks("", "fundus", "auto"), service.worker.recent),
    )
    try:
        response = refine(service)
        assert response.status_code == 501
        assert "PARFOCAL_CLICKS_MODEL" in response.json()["error"]["expected"]
    finally:
        service.worker.refiner = own
    broken = click_model.Clicks(str(tmp_path / "away"), "fundus", "auto")
    broken.start()
    assert broken.current is None
    assert "away" in broken.trouble


def test_a_champion_is_no_model_that_answers_clicks(bundles: SimpleNamespace) -> None:
    clicks = click_model.Clicks(str(bundles.champion), "fundus", "auto")
    clicks.start()
    assert "answers no clicks" in clicks.trouble
    other = click_model.Clicks(str(bundles.clicks), "lung", "auto")
    other.start()
    assert "a bundle for fundus" in other.trouble


def test_an_alias_is_fetched_by_another_process(bundles: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.append(command)
        said = json.dumps({"folder": str(bundles.clicks), "version": "3"})
        return SimpleNamespace(returncode=0, stdout=f"a word of MLflow\n{said}\n", stderr="")

    monkeypatch.setattr(click_model.subprocess, "run", run)
    clicks = click_model.Clicks("annotators", "fundus", "auto")
    clicks.start()
    kit.wait_for(lambda: clicks.current is not None, report=lambda: clicks.trouble)
    clicks.stop()
    assert clicks.current is not None
    assert clicks.current.version == "3"
    assert asked[0][1:] == ["-m", "parfocal_serving.segmenter.click_fetch", "annotators"]


def test_the_process_that_fetches_says_where_the_bundle_is_or_why_it_is_not(
    bundles: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Registry:
        def fetch(self, task: str, version: str, into: Path) -> Path:
            if version == "nobody":
                raise DataContractError("the registry has no 'nobody'", next="look")
            assert (task, into.name) == ("fundus", "clicks")
            assert version == "3", "what is named is what is fetched, wherever the alias goes meanwhile"
            return bundles.clicks

        def get(self, task: str, alias: str) -> SimpleNamespace | None:
            return SimpleNamespace(version="3") if alias == "annotators" else None

    platform = SimpleNamespace(models=Registry(), settings=SegmenterSettings(state=tmp_path))
    monkeypatch.setattr(click_fetch, "connect", lambda: platform)
    assert click_fetch.main("annotators") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(bundles.clicks.resolve()), "version": "3"}
    assert click_fetch.main("nobody") == DataContractError.exit_code
    said = capsys.readouterr()
    assert said.err == "the registry has no 'nobody' next: look\n"
    assert not said.out


def test_memory_forgets_by_time_since_the_last_use_and_by_size() -> None:
    now = [0.0]
    recent = Recent(250, 10.0, lambda: now[0])
    small = Seen(np.zeros((10, 10), np.uint8))
    recent.keep("a", small)
    recent.keep("b", small)
    now[0] = 8.0
    assert recent.get("a") is small
    now[0] = 12.0
    assert recent.get("b") is None, "twelve seconds unused"
    assert recent.get("a") is small, "four seconds unused"
    recent.keep("c", small)
    recent.get("a")
    recent.keep("d", small)
    assert [recent.get(name) is not None for name in "acd"] == [True, False, True], "the least recently used goes"
    assert recent.bytes == 200
    recent.keep("large", Seen(np.zeros((20, 20), np.uint8)))
    assert recent.get("large") is None
    assert recent.get("a") is small
    now[0] = 60.0
    recent.sweep()
    assert recent.bytes == 0


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[0, 1, 0], [1, 1, 0]], [1, 3, 2]),  # down the columns: 0 1 | 1 1 | 0 0
        ([[1, 0], [1, 0], [0, 1]], [0, 2, 3, 1]),  # 1 1 0 | 0 0 1: begins inside, so with a 0
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
    ],
)
def test_run_lengths_are_cocos(mask: list[list[int]], counts: list[int]) -> None:
    found = rle(np.array(mask, bool))
    assert found == {"size": [len(mask), len(mask[0])], "counts": counts}


def test_millimetres_and_other_masks_are_given_where_they_are_asked_for(service: SimpleNamespace) -> None:
    def segment(**texts: str) -> dict:
        response = service.http.post("/segment", files={"image": ("a.jpg", PHOTO)}, data=texts)
        assert response.status_code == 200, response.text
        return response.json()

    plain, other = segment(), segment(masks="rle", spacing="0.02, 0.01")
    disc, found = plain["structures"]["disc"], other["structures"]["disc"]
    assert set(disc) == {"mask", "contour", "area", "radius"}
    assert "spacing_mm" not in plain
    assert other["spacing_mm"] == [0.02, 0.01]
    assert "mask" not in found
    assert found["area_mm2"] == pytest.approx(disc["area"] * 0.0002)
    assert found["radius_mm"] == pytest.approx(np.sqrt(disc["area"] * 0.0002 / np.pi), abs=1e-5)
    x, y = disc["contour"][3]
    assert found["contour_mm"][3] == pytest.approx([0.01 * x, 0.02 * y])
    assert sum(found["rle"]["counts"][1::2]) == disc["area"]
    assert set(segment(masks="none")["structures"]["disc"]) == {"contour", "area", "radius"}


def test_a_tiff_file_is_answered_as_the_same_pixels_in_a_png(service: SimpleNamespace) -> None:
    def segment(ending: str) -> dict:
        data = cv2.imencode(ending, kit.picture(1))[1].tobytes()
        return service.http.post("/segment", files={"image": ("a", data)}).json()["structures"]

    assert segment(".tiff") == segment(".png")


def test_a_dicom_photograph_is_answered_and_nobody_learns_whose_it_is(
    service: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    itk = pytest.importorskip("SimpleITK")
    image = kit.picture(1)

    def write(name: str, **more: str) -> bytes:
        made = itk.GetImageFromArray(image[..., ::-1].copy(), isVector=True)
        tags = {"0008|0060": "OP", "0010|0010": "LOVELACE^ADA", "0010|0020": "PATIENT-4711", "0010|0030": "18151210"}
        for tag, value in (tags | {key.replace("_", "|"): value for key, value in more.items()}).items():
            made.SetMetaData(tag, value)
        itk.WriteImage(made, str(tmp_path / name))
        return (tmp_path / name).read_bytes()

    caplog.set_level(logging.DEBUG)
    good = write("a.dcm")
    answers = [
        service.http.post("/segment", files={"image": ("a", data)})
        for data in (good, write("b.dcm", **{"0008_0060": "CT"}), good[: len(good) // 2], good[:200])
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 400, 400]
    same = service.http.post("/segment", files={"image": ("a", cv2.imencode(".png", image)[1].tobytes())}).json()
    assert answers[0].json()["structures"]["disc"]["mask"] == same["structures"]["disc"]["mask"]
    service.worker.pool.submit(lambda: None).result()  # what was seen has been measured
    kept = b"".join(file.read_bytes() for file in service.worker.settings.outbox_folder.rglob("*") if file.is_file())
    said = "".join(answer.text for answer in answers) + caplog.text + "".join(capfd.readouterr())
    for word in ("LOVELACE", "4711", "18151210"):
        assert word not in said
        assert word.encode() not in kept
    assert "CT" not in answers[1].text


def test_instruments_and_models_say_who_answers(service: SimpleNamespace, bundles: SimpleNamespace) -> None:
    with Client(service.url) as client:
        known, unknown, models_ = client.instruments("A"), client.instruments("Z"), client.models()
    assert [one.name for one in known.instruments] == ["A"]
    assert known.instruments[0].learned == manifest.read(bundles.champion).created
    assert known.instruments[0].patients is None
    assert (known.known, known.network) == (True, "shared")
    assert unknown.known is False
    assert models_.champion is not None
    assert models_.clicks is not None
    assert models_.champion.version == "7"
    assert models_.clicks.checksum == manifest.read(bundles.clicks).checksum
    whole = service.http.get("/models").json()
    assert whole["champion"]["since"] == "2026-11-21T00:00:00+00:00"
    assert [one["name"] for one in whole["clicks"]["structures"]] == ["disc", "cup"]


def test_a_network_of_its_own_is_named_as_that() -> None:
    own = {"B": {"folder": "b"}}
    spec = Bundle.model_validate(
        {"task": "fundus", "recipe": {}, "instruments": ["A", "B"], "datasets": [],
         "structures": {"disc": {"folder": "disc", "by_instrument": own}}}
    )  # fmt: skip
    assert [catalog._network(spec, name) for name in ("A", "B", "Z")] == ["shared", "own", "shared"]


def test_every_answer_and_every_field_is_as_the_document_says(service: SimpleNamespace) -> None:
    document = service.http.get("/openapi.json").json()
    operations = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs}
    own = [route for route in web.app.routes if isinstance(route, Route)]  # what is mounted speaks another's protocol
    routes = {(route.path, verb.lower()) for route in own for verb in route.methods or () if verb != "HEAD"}
    assert operations == routes - {("/openapi.json", "get")}
    every = {"masks": "rle", "spacing": "0.01,0.01", "instrument": "A"}
    segmented = service.http.post("/segment", files={"image": ("a.jpg", PHOTO)}, data={**every, "patient": "Ada"})
    refined = refine(service, **every)
    answered = {
        "Segmentation": segmented,
        "Refinement": refined,
        "Instruments": service.http.get("/instruments", params={"name": "A"}),
        "Models": service.http.get("/models"),
    }
    for name, response in answered.items():
        assert response.status_code == 200, response.text
        getattr(schemas, name).model_validate_json(response.text)
    fields = {
        path: set(
            document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        )
        for path in ("/segment", "/refine")
    }
    assert fields["/segment"] >= {"image", "patient", "eye", "slice", "plane", *every}
    assert fields["/refine"] >= {"image", "previous", "outer", "case", "structure", "clicks", *every}
    assert fields["/segment"] | fields["/refine"] == forms.TEXTS | {"image", "previous", "outer"}
    referred = set(json.dumps(document).replace('"', " ").split()) & {f"#/components/schemas/{n}" for n in answered}
    assert len(referred) == len(answered)
    assert service.http.get("/instruments", params={"name": "x" * 251}).status_code == 400
    assert service.http.get("/refine").status_code == 405
