"""One service for several tasks: each with its champion, outbox and metrics, and the first where none is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import serving_kit as kit
from parfocal_serving.segmenter.schemas import Instruments, Models
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.client import Client, RefusedError
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE
from parfocal.core.errors import UsageError

PHOTO = kit.jpeg(kit.picture(1))


def of_task(folder: Path, task: str, seed: int) -> Path:
    """A bundle whose one structure is another task's; the networks are those of any."""
    made = kit.bundle(folder.with_name(f"{folder.name}-made"), seed)
    spec = json.loads((made / BUNDLE).read_text())
    spec |= {"task": task, "structures": {"lung": spec["structures"]["disc"]}, "instruments": ["CR1"]}
    with manifest.new_folder(folder, "bundle", seed=seed) as scratch:
        for file in (made / "disc").iterdir():
            (scratch / "disc").mkdir(exist_ok=True)
            (scratch / "disc" / file.name).write_bytes(file.read_bytes())
        (scratch / BUNDLE).write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    work = tmp_path_factory.mktemp("tasks")
    kit.promote(work / "state", kit.bundle(work / "eye", 1), "7")
    kit.promote(work / "state", of_task(work / "lungs", "lung", 2), "3", task="lung")
    with kit.in_process(work / "state", tasks="fundus, lung,brain") as running:
        running.state = work / "state"
        yield running


def ask(service: SimpleNamespace, address: str = "/segment", **fields: str):
    return service.http.post(address, files={"image": ("a.jpg", PHOTO)}, data={"masks": "none", **fields})


def test_a_task_is_named_in_the_address_or_in_the_form_and_the_first_is_meant_otherwise(
    service: SimpleNamespace,
) -> None:
    for answer, task, version in (
        (ask(service), "fundus", "7"),
        (ask(service, task="lung"), "lung", "3"),
        (ask(service, "/segment?task=lung"), "lung", "3"),
        (ask(service, "/segment?task=lung", task="lung"), "lung", "3"),
    ):
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model"]["task"], answer.json()["model"]["version"]) == (task, version)
        assert set(answer.json()["structures"]) == ({"disc", "cup"} if task == "fundus" else {"lung"})
        assert (answer.json()["cdr"] is None) == (task == "lung" or not answer.json()["structures"]["disc"]["area"])


def test_what_is_for_no_task_is_refused(service: SimpleNamespace) -> None:
    for answer in (
        ask(service, task="skin"),
        ask(service, "/segment?task=skin"),
        ask(service, "/segment?task=lung", task="fundus"),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["where"] == "task"
    nobody = ask(service, task="brain")
    assert nobody.status_code == 503
    assert nobody.json()["error"]["where"] == "task brain"


def test_each_task_has_an_outbox_of_its_own(service: SimpleNamespace) -> None:
    before = [one.outbox.slot.pending for one in service.workers]
    ask(service, task="lung", patient="p")
    ask(service, patient="p")
    assert [one.outbox.slot.pending for one in service.workers] == [before[0] + 1, before[1] + 1, 0]
    kept = [json.loads(row.body)["task"] for one in service.workers for row in _rows(one)]
    assert set(kept) == {"fundus", "lung"}
    assert (service.state / "outbox" / "lung" / "0.db").is_file()


def _rows(worker: object) -> list:
    worker.pool.submit(lambda: None).result()
    kit.wait_for(lambda: len(worker.outbox.slot.batch(500)) == worker.outbox.slot.pending)
    return worker.outbox.slot.batch(500)


def test_models_and_instruments_list_every_task(service: SimpleNamespace) -> None:
    found = Models.model_validate(service.http.get("/models").json())
    assert [one.task for one in (found, *(found.others or ()))] == ["fundus", "lung", "brain"]
    assert [one.champion and one.champion.version for one in (found, *(found.others or ()))] == ["7", "3", None]
    known = Instruments.model_validate(service.http.get("/instruments").json())
    assert [(one.task, [i.name for i in one.instruments]) for one in (known, *(known.others or ()))] == [
        ("fundus", ["A"]),
        ("lung", ["CR1"]),
    ]
    alone = service.http.get("/instruments?task=lung").json()
    assert alone["task"] == "lung"
    assert "others" not in alone


def test_the_python_client_reaches_each_task_by_its_name(service: SimpleNamespace) -> None:
    with Client(service.url) as client:
        assert client.segment(PHOTO, masks="none").model.task == "fundus"
        assert client.segment(PHOTO, masks="none", task="lung").model.version == "3"
        assert client.instruments(task="lung").task == "lung"
        assert [one.task for one in client.models().others] == ["lung", "brain"]
        with pytest.raises(RefusedError, match="no such task"):
            client.refine("disc", [], image=PHOTO, task="skin")


def test_each_task_has_a_monitor_of_its_own_and_a_click_folder_is_of_the_first() -> None:
    told = SegmenterSettings(
        tasks="fundus,lung,brain", monitor_url="http://a", monitors="lung=http://b", clicks_model="runs/clicks",
        outbox=Path("box"),
    )  # fmt: skip
    assert [one.task for one in told.each()] == ["fundus", "lung", "brain"]
    assert [one.monitor_url for one in told.each()] == ["http://a", "http://b", ""]
    assert [one.clicks_model for one in told.each()] == ["runs/clicks", "", ""]
    assert [one.outbox_folder for one in told.each()] == [Path("box"), Path("box/lung"), Path("box/brain")]
    assert SegmenterSettings(task="lung").each()[0].task == "lung"
    with pytest.raises(UsageError, match="PARFOCAL_MONITOR_URLS"):
        SegmenterSettings(tasks="fundus", monitors="skin=http://b").each()
