"""A challenger beside the champion: whom it answers, what it costs, what is said of it, and what becomes of it."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import serving_kit as kit
from parfocal_serving.segmenter import metrics
from parfocal_serving.segmenter.champion import CURRENT
from parfocal_serving.segmenter.schemas import Models, Segmentation

from parfocal.core import manifest
from parfocal.evaluation.metrics import dice
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import decode_image

PHOTO = kit.jpeg(kit.picture(1))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return kit.bundle(folder / "one", 1), kit.bundle(folder / "two", 2)


@pytest.fixture
def state(bundles: tuple[Path, Path], tmp_path: Path) -> Path:
    kit.promote(tmp_path, bundles[0], "1")
    challenge(tmp_path, bundles[1], "2")
    return tmp_path


def challenge(state: Path, folder: Path, version: str) -> None:
    """Say that a bundle is the challenger, as the follower does."""
    values = {"version": version, "checksum": manifest.read(folder).checksum, "folder": str(folder), "since": "now"}
    manifest.write_atomic(state / "serving" / "fundus" / "challenger.json", json.dumps(values))


@pytest.fixture
def canary(state: Path) -> Iterator[SimpleNamespace]:
    with kit.in_process(state, canary=0.3) as running:
        yield running


def ask(service: SimpleNamespace, **fields: str) -> dict:
    answer = service.http.post("/segment", files={"image": ("a.jpg", PHOTO)}, data={"masks": "none", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def counted(metric: object, **labels: str) -> float:
    return sum(
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) and labels.items() <= sample.labels.items()
    )


def test_a_share_of_the_patients_meets_the_challenger_and_each_always_the_same_model(canary: SimpleNamespace) -> None:
    before = counted(metrics.CHALLENGER, role="canary", outcome="answered")
    first = {f"p{i}": ask(canary, patient=f"p{i}") for i in range(60)}
    again = {name: ask(canary, patient=name) for name in list(first)[:20]}
    for name, answer in again.items():
        assert answer["model"] == first[name]["model"]
        assert answer["structures"]["disc"]["area"] == first[name]["structures"]["disc"]["area"]
    found = Counter(answer["model"]["version"] for answer in first.values())
    assert found["1"] + found["2"] == 60
    assert 8 <= found["2"] <= 30  # 18 +- 3.5
    for answer in first.values():
        Segmentation.model_validate(answer)
        assert answer["model"].get("role") == ("challenger" if answer["model"]["version"] == "2" else None)
    areas = {(a["model"]["version"], a["structures"]["disc"]["area"]) for a in first.values()}
    assert len(areas) == 2, "the version that is named is the one that answered"
    answered = counted(metrics.CHALLENGER, role="canary", outcome="answered") - before
    assert answered == found["2"] + sum(one["model"]["version"] == "2" for one in again.values())


def test_without_a_patient_the_request_decides(canary: SimpleNamespace) -> None:
    assert len({ask(canary)["model"]["version"] for _ in range(40)}) == 2


def test_an_observation_names_the_version_and_the_reference_that_answered(
    canary: SimpleNamespace, bundles: tuple[Path, Path]
) -> None:
    champion, challenger = canary.worker.champions, canary.worker.challenger.models
    for models, name in ((champion, "a" * 64), (challenger, "b" * 64)):
        object.__setattr__(models.current, "reference_id", name)
    answers = {one["request_id"]: one["model"]["version"] for one in (ask(canary, patient=f"p{i}") for i in range(20))}
    assert set(answers.values()) == {"1", "2"}
    slot = canary.worker.outbox.slot
    wanted = len(answers)
    kit.wait_for(lambda: sum(json.loads(row.body)["reference_id"] != "" for row in slot.batch(500)) == wanted)
    kept = {one["id"]: one for one in (json.loads(row.body) for row in slot.batch(500))}
    for request, version in answers.items():
        assert kept[request]["model_version"] == version
        assert kept[request]["reference_id"] == {"1": "a" * 64, "2": "b" * 64}[version]


@pytest.mark.parametrize("how", ["raises", "no numbers"])
def test_a_challenger_that_fails_costs_no_request(
    canary: SimpleNamespace, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = canary.worker.challenger.models.current.predictor
    good = rival.predict

    def bad(image: np.ndarray, instrument: str = "") -> object:
        if how == "raises":
            raise MemoryError
        found = good(image, instrument)
        found.probabilities["disc"][0, 0] = np.nan
        return found

    monkeypatch.setattr(rival, "predict", bad)
    before = counted(metrics.CHALLENGER, role="canary", outcome="failed")
    assert {ask(canary, patient=f"p{i}")["model"]["version"] for i in range(30)} == {"1"}
    assert counted(metrics.CHALLENGER, role="canary", outcome="failed") > before


def test_a_challenger_moves_is_taken_away_and_becomes_champion(
    canary: SimpleNamespace, state: Path, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    models = canary.worker.challenger.models
    listed = canary.http.get("/models").json()
    Models.model_validate(listed)
    assert (listed["champion"]["version"], listed["challenger"]["version"]) == ("1", "2")
    challenge(state, bundles[1], "3")
    kit.wait_for(lambda: models.current is not None and models.current.version == "3")
    (state / "serving" / "fundus" / "challenger.json").unlink()
    kit.wait_for(lambda: models.current is None)
    assert {ask(canary, patient=f"p{i}")["model"]["version"] for i in range(20)} == {"1"}
    assert canary.http.get("/models").json()["challenger"] is None
    challenge(state, bundles[1], "4")
    kit.wait_for(lambda: models.current is not None)
    kit.promote(state, bundles[1], "4")
    kit.wait_for(lambda: canary.worker.champions.current.version == "4")
    assert {tuple(ask(canary, patient=f"p{i}")["model"].get(x) for x in ("version", "role")) for i in range(20)} == {
        ("4", None)
    }, "it is not measured against itself"
    assert (state / "serving" / "fundus" / CURRENT).exists()


def test_a_broken_challenger_is_named_and_the_champion_answers(state: Path, tmp_path: Path) -> None:
    place = state / "serving" / "fundus" / "challenger.json"
    manifest.write_atomic(place, json.dumps({"version": "9", "checksum": "0" * 64, "folder": str(tmp_path / "none")}))
    with kit.in_process(state, canary=1.0, shadow=1.0) as service:
        assert ask(service)["model"]["version"] == "1"
        assert service.worker.challenger.models.rejected.version == "9"


def test_a_shadow_answers_nobody_and_says_how_far_it_agrees(state: Path, bundles: tuple[Path, Path]) -> None:
    image = decode_image(PHOTO)
    one, two = (Predictor(folder).predict(image).masks for folder in bundles)
    with kit.in_process(state, shadow=1.0) as service:
        totals = {name: _sum(name) for name in one}
        answers = [ask(service, patient=f"p{i}") for i in range(3)]
        assert {one["model"]["version"] for one in answers} == {"1"}
        kit.wait_for(lambda: _sum("cup")[1] == totals["cup"][1] + 3)
        for name, mask in one.items():
            total, number = _sum(name)
            assert number == totals[name][1] + 3
            assert (total - totals[name][0]) / 3 == pytest.approx(dice(two[name], mask), abs=1e-6)
        waiting = [json.loads(row.body) for row in service.worker.outbox.slot.batch(500)]
        assert Counter(one["model_version"] for one in waiting) == {"1": 3}, "the monitor hears of answers alone"


def _sum(structure: str) -> tuple[float, float]:
    samples = {s.name: s.value for f in metrics.AGREEMENT.labels("fundus", structure).collect() for s in f.samples}
    return samples["parfocal_challenger_dice_sum"], samples["parfocal_challenger_dice_count"]


def test_a_shadow_that_hangs_keeps_nobody_waiting_and_what_it_cannot_see_is_counted(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit.in_process(state, shadow=1.0) as service:
        release = threading.Event()
        rival = service.worker.challenger.models.current.predictor
        good = rival.predict
        monkeypatch.setattr(rival, "predict", lambda *words: release.wait(300) and good(*words))
        dropped = counted(metrics.CHALLENGER, role="shadow", outcome="dropped")
        try:
            for _ in range(12):
                assert ask(service)["model"]["version"] == "1"
            kit.wait_for(lambda: counted(metrics.CHALLENGER, role="shadow", outcome="dropped") >= dropped + 7)
        finally:
            release.set()
