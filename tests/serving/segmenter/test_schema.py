"""The service held against its own OpenAPI document, with what a machine makes of it: right requests and wrong ones."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import serving_kit as kit
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import integers
from parfocal_serving.segmenter import web

schemathesis = pytest.importorskip("schemathesis")
PHOTO = kit.jpeg(kit.picture(1, 96, 128))
ROUTES = (("/segment", "POST"), ("/refine", "POST"), ("/instruments", "GET"), ("/models", "GET"))
FEW = settings(
    max_examples=20, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    work = tmp_path_factory.mktemp("schema")
    kit.promote(work / "state", kit.bundle(work / "one"), "1")
    with kit.in_process(work / "state", clicks_model=str(kit.clickable(work / "clicks"))):
        schema = schemathesis.openapi.from_asgi("/openapi.json", web.app)
        yield SimpleNamespace(schema=schema, seen=Counter())


@pytest.mark.parametrize(
    ("path", "method", "mode"), [*((*r, "positive") for r in ROUTES), *((*r, "negative") for r in ROUTES[:3])]
)
def test_every_route_answers_as_its_document_says(api: SimpleNamespace, path: str, method: str, mode: str) -> None:
    @FEW
    @given(
        case=api.schema[path][method].as_strategy(generation_mode=schemathesis.GenerationMode(mode)),
        turn=integers(0, 3),
    )
    def held(case: Any, turn: int) -> None:
        if mode == "positive" and turn and isinstance(case.body, dict):
            case.body = {**case.body, "image": PHOTO}  # of random bytes none is a picture
            if turn > 1:
                case.body = {name: value for name, value in case.body.items() if name in ("image", "masks", "clicks")}
        response = case.call()
        api.seen[path, response.status_code] += 1
        assert response.status_code != 500
        case.validate_response(response, checks=CHECKS)

    held()


def test_that_was_every_route_and_some_were_answered(api: SimpleNamespace) -> None:
    assert {path for path, _ in ROUTES} == set(api.schema.raw_schema["paths"])
    if api.seen:  # after the others
        assert {path for path, status in api.seen if status == 200} >= {"/segment", "/instruments", "/models"}
        assert not {status for _, status in api.seen} & {500, 501, 503, 504}


def _checks() -> list[Any]:
    from schemathesis.specs.openapi import checks

    return [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]


CHECKS = _checks()
