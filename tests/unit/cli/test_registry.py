"""A stranger asks which model answered a patient and why it was promoted; each command in a process of its own."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from parfocal_serving.monitor import schema
from parfocal_serving.segmenter.patients import pseudonym
from promotion_kit import MemoryStore, Recorder, better, first, write_bundle, write_evaluation
from sqlalchemy import create_engine, insert

from parfocal.adapters.database import SqlLedger
from parfocal.core.reporting import Silent
from parfocal.promotion.evidence import Origin
from parfocal.steps import promote
from parfocal.steps.config import RunConfig

ALARM = {
    "instrument": "B", "reference": "0123456789ab", "time": 1_790_000_000.0,
    "streams": [{"stream": "appearance", "statistic": 9.5, "threshold": 9.1}],
}  # fmt: skip
ANSWERS = (("r1", "2", 0, "4711"), ("r2", "2", -3600, "4712"), ("r3", "3", 0, "4712"))
"""Id, version, seconds from now, patient: of 4711 by the champion; of 4712 before it was one, and by what never was."""


def promoted(state: Path) -> datetime:
    """When the answers were given too, whichever day it is by the time that a test asks for them."""
    return datetime.fromtimestamp((state / "out-two" / "model_card.md").stat().st_mtime, UTC)


def parfocal(state: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PARFOCAL_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "parfocal", *words], capture_output=True, text=True, check=False,
        env={**bare, "PARFOCAL_STATE": str(state), "PARFOCAL_PATIENT_SECRET": "of the clinic"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two promotions, and a patient whom version 2 answered just now."""
    root = tmp_path_factory.mktemp("house")
    ledger, store = SqlLedger(f"sqlite:///{root / 'parfocal.db'}"), MemoryStore()
    one, two = (write_bundle(root / name, f"weights {name}") for name in ("one", "two"))
    for name, values, origin in (("one", first(one), Origin()), ("two", better(two, one), Origin(ALARM, "image"))):
        judged = write_evaluation(root / f"judged-{name}", values)
        promote.run(
            judged, root / name, root / f"out-{name}", RunConfig(), key=f"key-{name}", store=store, ledger=ledger,
            run=Recorder(), reporter=Silent(), origin=origin,
        )  # fmt: skip
    engine = create_engine(f"sqlite:///{root / 'monitor.db'}")
    schema.METADATA.create_all(engine)
    with engine.begin() as connection:
        for seq, (name, version, at, patient) in enumerate(ANSWERS):
            connection.execute(
                insert(schema.OBSERVATIONS).values(
                    id=name, task="fundus", instrument="B", model_version=version, reference_id="f" * 64, seq=seq,
                    time=time.time() + at, received=time.time(), embedding=b"", shape="{}", acquisition="{}",
                    patient_hmac=pseudonym(b"of the clinic", patient), scored=True,
                )
            )  # fmt: skip
    engine.dispose()
    return root


def test_which_model_answered_this_patient_and_why_was_it_promoted(state: Path) -> None:
    began = time.monotonic()
    done = parfocal(state, "registry", "who", "--patient", "4711", "--at", f"{promoted(state):%Y-%m}")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    for said in (
        "fundus version 2  B",
        "promoted by the gate",
        "decision: All 14 conditions on 2 cells are met.",
        "(appearance 9.5 over 9.1; reference 0123456789ab)",
        "evidence: ledger entry 5, sha256 ",
        "way back: version 1",
    ):
        assert said in done.stdout
    assert "version 1 (bundle" not in done.stdout
    assert "4711" not in done.stdout


def test_the_same_as_json_and_of_a_day_without_a_patient(state: Path) -> None:
    found = json.loads(parfocal(state, "registry", "who", "--patient", "4711", "--json").stdout)
    assert [(one["version"], one["instrument"]) for one in found["answers"]] == [("2", "B")]
    assert [one["reign"]["version"] for one in found["models"]] == ["2"]
    assert found["models"][0]["decision"]["outcome"] == "promote"
    days = json.loads(parfocal(state, "registry", "who", "--at", f"{promoted(state):%Y-%m-%d}", "--json").stdout)
    assert days["answers"] is None
    assert {one["reign"]["version"] for one in days["models"]} == {"1", "2"}


def test_a_patient_who_is_not_there_and_a_day_before_all_are_said(state: Path) -> None:
    assert "no answer to this patient" in parfocal(state, "registry", "who", "--patient", "0").stdout
    assert "no model of fundus answered then" in parfocal(state, "registry", "who", "--at", "1999").stdout
    nothing = parfocal(state, "registry", "who")
    assert (nothing.returncode, "--patient" in nothing.stderr) == (2, True)


def test_the_card_of_a_version_comes_from_the_ledger_and_is_the_one_in_the_evidence(state: Path) -> None:
    done = parfocal(state, "registry", "card", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (state / "out-two" / "model_card.md").read_text()
    evidence = parfocal(state, "registry", "card", "2", "--json")
    assert evidence.stdout == (state / "out-two" / "evidence.json").read_text()
    unknown = parfocal(state, "registry", "card", "9")
    assert (unknown.returncode, "one of 1, 2" in unknown.stderr) == (2, True)


def test_what_a_challenger_answered_is_not_laid_to_a_promotion(state: Path) -> None:
    done = parfocal(state, "registry", "who", "--patient", "4712")
    before, never, *rest = done.stdout.splitlines()
    assert "fundus version 2" in before and "not the champion then" in before
    assert "fundus version 3" in never and "not the champion then" in never
    assert rest[0] == "version 3 was never champion by this ledger, so nothing promoted it"
    rows = json.loads(parfocal(state, "registry", "who", "--patient", "4712", "--json").stdout)["answers"]
    assert [row["champion"] for row in rows] == [False, False]
    assert "not the champion" not in parfocal(state, "registry", "who", "--patient", "4711").stdout


def test_who_asks_in_the_wrong_place_is_told_where_it_looked(state: Path, tmp_path: Path) -> None:
    empty = parfocal(tmp_path / "elsewhere", "registry", "who", "--at", "2026")
    assert (empty.returncode, str(tmp_path / "elsewhere") in empty.stderr, "PARFOCAL_STATE" in empty.stderr) == (
        2,
        True,
        True,
    )
    other = parfocal(state, "registry", "card", "1", "--task", "lung")
    assert (other.returncode, "--task fundus" in other.stderr) == (2, True)


def test_evidence_of_an_earlier_program_has_no_card_and_says_so(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'parfocal.db'}")
    body = {"version": "1", "evidence": {"task": "fundus"}, "replaces": {"version": ""}}
    ledger.append("promotion-started", "fundus", "k", body)
    ledger.append("promotion", "fundus", "k", body)
    done = parfocal(tmp_path, "registry", "card", "1")
    assert (done.returncode, "wrote no model cards" in done.stderr) == (2, True)
    assert json.loads(parfocal(tmp_path, "registry", "card", "1", "--json").stdout) == {"task": "fundus"}
