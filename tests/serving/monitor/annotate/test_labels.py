"""What an accepted case becomes: where its masks lie, on which side of the split it lands, and who is said to have
drawn it."""

import json
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_kit import DRAWN, SIZE, World, accept, ask, disc, rle, take
from parfocal_serving.monitor.annotate import labels, masks
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.service import Service
from starlette.testclient import TestClient

from parfocal.adapters.tokens import TokenStore
from parfocal.core.errors import DataContractError
from parfocal.core.reporting import Silent
from parfocal.core.types import Split
from parfocal.preprocessing.images import decode_mask
from parfocal.preprocessing.shards import read_dataset
from parfocal.preprocessing.split import Known, sides
from parfocal.readers.folder import FolderReader
from parfocal.steps import preprocess
from parfocal.steps.config import RunConfig
from parfocal.triggers.labels import Waiting, cases_worth_labelling

_EVERYBODY = [Waiting(f"{n:064x}", f"{n:064x}", None, 0.0) for n in range(40)]
FOR_TEST = cases_worth_labelling(_EVERYBODY, train=0, test=40, key="parfocal").test
"""Patients whom the hash draws for the test."""


def take_for(monitor: TestClient, purpose: str, annotator: str = "Ada") -> dict[str, Any]:
    """The first case for that; others are released to nobody in particular."""
    for number in range(10):
        given = take(monitor, f"{annotator}" if number == 0 else f"{annotator} {number}")
        assert given is not None
        if given["purpose"] == purpose:
            return given
    raise AssertionError(f"no case for {purpose}")


def test_run_lengths_are_those_of_the_segmenter() -> None:
    """By hand: column after column, outside first (cocoapi)."""
    mask = np.array([[0, 1], [1, 1], [0, 0]], bool)
    assert masks.encode(mask) == {"size": [3, 2], "counts": [1, 1, 1, 2, 1]}
    assert (masks.decode({"size": [3, 2], "counts": [1, 1, 1, 2, 1]}, (3, 2), "x") == mask).all()
    assert masks.encode(~mask)["counts"][0] == 0
    counts: list[Any] = [[5], [-1, 7], [6.0], [True, 5], [], "6", None]
    wrong: list[Any] = [None, {"size": [2, 3], "counts": [6]}, *({"size": [3, 2], "counts": one} for one in counts)]
    for runs in wrong:
        with pytest.raises(DataContractError):
            masks.decode(runs, (3, 2), "x")


def test_what_the_page_labels_lands_on_the_side_for_which_it_was_drawn(
    world: World, monitor: TestClient, tmp_path: Path
) -> None:
    """And the first experience has all three, which nobody who deals afterwards could promise."""
    world.capture(monitor, 40)
    drawn: dict[str, str] = {}
    while len(drawn) < 10:
        given = take(monitor)
        assert given is not None
        drawn[given["case"]] = given["side"]
        help_ = ask(monitor, given, "GET", "proposal")
        assert help_.status_code == (200 if given["side"] == "train" else 403)
        accept(monitor, given).raise_for_status()
    folder = CaseStore(world.state, "fundus").close("B", 1)
    scan = FolderReader().scan(folder, folder, task="fundus", instrument="B")
    assert scan.problems == ()
    assert scan.declared_splits is None, "its author named no test: it was drawn at random"
    names = {case.id: case.image.stem for case in scan.cases}
    for quota in ((60, 15, 25), (1, 1, 98), (98, 1, 1)):
        found = sides(scan.cases, Known(), {}, quota, "key", scan.drawn_splits)
        assert {names[case.id]: found[case.patient] for case in scan.cases} == drawn
    patient = scan.cases[0].patient
    for side in Split:
        frozen = sides(scan.cases, Known(here={patient: side}), {}, (60, 15, 25), "k", scan.drawn_splits)
        assert frozen[patient] is side, "what was frozen comes first"
    assert all(case.assisted is (drawn[names[case.id]] == "train") for case in scan.cases)
    assert {case.grader for case in scan.cases} == {"Ada"}
    config = RunConfig.parse({"data": {"instrument": "B"}, "recipe": {"size": 32}})
    preprocess.run(folder, tmp_path / "dataset", config, champion=None, reporter=Silent())
    dataset = read_dataset(tmp_path / "dataset")
    assert {names[case.id]: case.split for case in dataset.cases} == drawn
    notes = json.loads((folder / "annotations" / f"{next(iter(drawn))}.json").read_text())
    assert (notes["annotator"], notes["seconds"], notes["clicks"]) == ("Ada", 9.5, 3)


def test_a_patient_keeps_one_side_whoever_gets_the_other_photograph(world: World) -> None:
    """Also when the other one was about to be given out for another side at the same moment."""
    settings = world.settings()
    service = Service(settings)
    annotation = service.annotation
    patient = {"patient_hmac": next(f"{n:064x}" for n in range(9) if f"{n:064x}" not in FOR_TEST)}
    with world.monitor(service=service) as monitor:
        world.capture(monitor, 2, **patient)
        late = [one for one, _ in annotation._offers(None, "Bob", time.time()) if one.side is Split.VALIDATION]
        given = take(monitor)
        assert given is not None
        assert given["side"] == "train"
        stale = next(one for one in late if one.seen.id != given["case"])
        file = world.state / stale.seen.case_ref
        assert annotation._give(stale, 0, file, "Bob", time.time()) is None
        other = take(monitor, "Bob")
        assert other is not None
        assert (other["case"], other["side"]) == (stale.seen.id, "train")


def test_the_server_remembers_what_was_shown_whatever_the_page_says(
    world: World, monitor: TestClient, segmenter: ThreadingHTTPServer
) -> None:
    world.capture(monitor, 40)
    given = take_for(monitor, "train")
    shown = ask(monitor, given, "GET", "proposal").json()
    assert shown["structures"]["disc"]["rle"] == rle(14)
    path, form = segmenter.asked[-1]  # type: ignore[attr-defined]
    assert (path, form["observe"], form["masks"]) == ("/segment", b"no", b"rle"), "no patient's request"
    assert "patient" not in form
    accept(monitor, given, assisted=False).raise_for_status()
    table = (world.state / "labelled/fundus/B/cases.csv").read_text().splitlines()
    assert dict(zip(table[0].split(","), table[1].split(","), strict=True)) | {"patient": ""} == {
        "name": given["case"], "patient": "", "split": "", "grader": "Ada", "assisted": "yes", "spacing": "",
        "purpose": "train",
    }  # fmt: skip
    queue = monitor.get("/api/annotate/queue").json()["instruments"][0]
    assert queue["proposal_agreement"]["cup"] == {"dice": 1.0, "cases": 1}
    assert 0.9 < queue["proposal_agreement"]["disc"]["dice"] < 1


def test_no_model_helps_with_a_test_case_and_a_label_that_says_otherwise_is_refused(
    world: World, monitor: TestClient, segmenter: ThreadingHTTPServer
) -> None:
    world.capture(monitor, 40)
    given = take_for(monitor, "test")
    before = len(segmenter.asked)  # type: ignore[attr-defined]
    assert given["why"]["predicted_dice"] is None
    assert ask(monitor, given, "GET", "proposal").status_code == 403
    click = {"structure": "disc", "clicks": [{"row": 1, "column": 1}]}
    assert ask(monitor, given, "POST", "refine", click).status_code == 403
    assert len(segmenter.asked) == before  # type: ignore[attr-defined]
    assert accept(monitor, given, assisted=True).status_code == 400
    accept(monitor, given).raise_for_status()


def test_clicks_go_to_the_segmenter_with_the_case_first_and_the_picture_when_it_has_forgotten(
    world: World, monitor: TestClient, segmenter: ThreadingHTTPServer
) -> None:
    world.capture(monitor, 40)
    given = take_for(monitor, "train")
    asked = {"structure": "disc", "clicks": [{"row": 3, "column": 4, "object": False}], "previous": rle(9)}
    answer = ask(monitor, given, "POST", "refine", asked).json()
    assert (answer["rle"], answer["model"]["version"]) == (rle(13), "7")
    assert 0 < answer["ms"] < 1000
    _, form = segmenter.asked[-1]  # type: ignore[attr-defined]
    assert form["image"].startswith(b"\x89PNG")
    assert json.loads(form["clicks"]) == asked["clicks"]
    assert ((decode_mask(form["previous"]) > 0) == disc(9)).all()
    ask(monitor, given, "POST", "refine", asked).raise_for_status()
    _, form = segmenter.asked[-1]  # type: ignore[attr-defined]
    assert form["case"] == b"known"
    assert "image" not in form, "it was sent a moment ago"
    segmenter.name = "forgotten"  # type: ignore[attr-defined]
    ask(monitor, given, "GET", "proposal").raise_for_status()
    ask(monitor, given, "POST", "refine", asked).raise_for_status()
    (_, first), (_, second) = segmenter.asked[-2:]  # type: ignore[attr-defined]
    assert first["case"] == b"forgotten"
    assert "image" in second
    accept(monitor, given).raise_for_status()
    notes = json.loads((world.state / f"labelled/fundus/B/annotations/{given['case']}.json").read_text())
    assert notes["clicked"] == {"disc": asked["clicks"]}
    assert notes["assisted"] is True
    assert notes["model"]["version"] == "7"


def test_without_a_segmenter_people_draw_by_hand_and_are_told_what_to_do(world: World) -> None:
    with world.monitor(segmenter_url="http://127.0.0.1:9") as monitor:
        world.capture(monitor, 40)
        assert monitor.get("/api/annotate/queue").json()["clicks"] is False
        given = take_for(monitor, "train")
        answer = ask(monitor, given, "GET", "proposal")
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert (error["what"], error["next"].split(";")[0]) == (
            "the segmenter does not help now",
            "draw by hand meanwhile",
        )
        assert "Errno" not in answer.text, "that is for the log"
        accept(monitor, given).raise_for_status()
        assert "yes" not in (world.state / "labelled/fundus/B/cases.csv").read_text(), "nothing was shown"


def test_masks_that_are_none_are_refused_and_the_case_stays_with_its_annotator(
    world: World, monitor: TestClient
) -> None:
    world.capture(monitor, 5)
    given = take(monitor)
    assert given is not None
    empty = masks.encode(np.zeros((SIZE, SIZE), bool))
    bad: list[Any] = [{}, {"nose": rle()}, {"disc": empty}, {"disc": {"size": [48, 48], "counts": [1]}}, {"disc": 5}]
    for wrong in bad:
        answer = accept(monitor, given, masks=wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["what"]
    assert accept(monitor, given, seconds=float("1e9")).status_code == 400
    assert accept(monitor, given, masks={"disc": rle()}).json()["labelled"] == 1, "a structure may be missing"


def test_a_second_person_reads_some_cases_again_and_their_agreement_is_shown(
    world: World, monitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "SECOND", 1)
    world.capture(monitor, 20)
    given = take(monitor)
    assert given is not None
    accept(monitor, given).raise_for_status()
    assert take(monitor, "Ada")["case"] != given["case"]  # type: ignore[index]
    again = take(monitor, "Bob")
    assert again is not None
    assert (again["case"], again["second"], again["side"]) == (given["case"], True, given["side"])
    assert "second" in again["why"]["text"]
    assert accept(monitor, again, masks={**DRAWN, "disc": rle(14)}).json()["labelled"] == 1, "it is no other label"
    found = monitor.get("/api/annotate/queue").json()["instruments"][0]["agreement"]
    assert found["cup"] == {"dice": 1.0, "cases": 1}
    both = disc(14).sum() + disc(15).sum()
    assert found["disc"]["dice"] == pytest.approx(2 * disc(14).sum() / both, abs=1e-4)


def test_who_comes_by_a_token_signs_with_its_name_and_needs_the_role(world: World) -> None:
    store = TokenStore(world.state / "tokens.json")
    ada, eve = store.add("Ada", ["annotate"])[1], store.add("Eve", ["segment"])[1]
    with world.monitor(open=False, token="s3cret") as monitor:
        monitor.headers["Authorization"] = "Bearer s3cret"
        world.capture(monitor, 20)
        monitor.headers["Authorization"] = f"Bearer {eve}"
        assert monitor.post("/api/annotate/next", json={"annotator": "Ada"}).status_code == 403
        monitor.headers["Authorization"] = f"Bearer {ada}"
        given = take(monitor, "somebody else")
        assert given is not None
        accept(monitor, given).raise_for_status()
        assert ",Ada," in (world.state / "labelled/fundus/B/cases.csv").read_text()
        assert monitor.get("/api/annotate/queue").json()["leases"] == []
