import json

import numpy as np
import pytest

from parfocal.core.errors import DataContractError
from parfocal.core.observations import from_json, to_json
from parfocal.core.types import Observation

WHOLE = Observation(
    id="a1",
    task="fundus",
    instrument="topcon",
    model_version="3",
    reference_id="f" * 64,
    seq=7,
    time=1_700_000_000.25,
    embedding=tuple(np.linspace(-1, 1, 371, dtype=np.float32).tolist()),
    shape={"disc.area": 0.02},
    acquisition={"width": 640.0, "camera": "TRC-50"},
    patient_hmac="0" * 64,
)


def test_what_was_sent_is_what_arrives() -> None:
    assert from_json(json.loads(json.dumps(to_json(WHOLE)))) == WHOLE


def test_an_instrument_that_was_not_named_stays_unnamed() -> None:
    assert from_json(to_json(WHOLE) | {"instrument": ""}).instrument is None


def test_keys_of_a_newer_sender_are_left_alone() -> None:
    assert from_json(to_json(WHOLE) | {"flavour": "sweet"}) == WHOLE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", ""),
        ("id", None),
        ("id", "x" * 251),
        ("task", 3),
        ("seq", 1.5),
        ("seq", 2**63),
        ("seq", True),
        ("time", float("nan")),
        ("time", "now"),
        ("time", 1e308),
        ("time", -1.0),
        ("embedding", "not base64!"),
        ("embedding", "AAA="),
        ("embedding", [1.0]),
        ("embedding", "AADAfw=="),
        ("shape", {"disc.area": "large"}),
        ("shape", {"disc.area": float("inf")}),
        ("shape", None),
        ("acquisition", {"tags": ["a"]}),
        ("instrument", 5),
        ("patient_hmac", {}),
    ],
)
def test_anything_else_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(DataContractError, match=f"'{key}'"):
        from_json(to_json(WHOLE) | {key: value})


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(DataContractError, match="JSON object"):
        from_json(value)
