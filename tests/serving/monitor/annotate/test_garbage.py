"""What no page sends: refused in a moment and in little memory, with the lease and the draft as they were."""

import json
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest
from annotate_kit import DRAWN, SIZE, World, accept, ask, rle, take
from starlette.testclient import TestClient

DRAFT = {"brush": 7, "strokes": [[1, 2]]}
MOST_BYTES = 200_000_000
DEEP = "[" * 100_000 + "]" * 100_000
ZEROS = "[" + "0," * 3_000_000 + f"{SIZE * SIZE}]"


def drawn(disc: Any) -> str:
    """A body whose one mask is this, JSON or a value."""
    return '{"masks":{"disc":' + (disc if isinstance(disc, str) else json.dumps(disc)) + "}}"


def runs(counts: str, size: str = f"[{SIZE},{SIZE}]") -> str:
    return drawn(f'{{"size":{size},"counts":{counts}}}')


def beside(**more: Any) -> str:
    return json.dumps({"masks": DRAWN, **more})


LABELS = {
    "a huge size": runs("[2304]", "[2000000000,2000000000]"),
    "a size of 1e308": runs("[2304]", "[1e308,1e308]"),
    "a size of NaN": runs("[2304]", "[NaN,NaN]"),
    "a size that is a number too long to be read": runs("[2304]", f"[{'9' * 5000},48]"),
    "negative counts": runs("[-1,2305]"),
    "one count that fills the memory": runs("[4611686018427387904]"),
    "counts of which none is small": runs("[" + ",".join(["9" * 4000] * 50) + "]"),
    "three million zero counts": runs(ZEROS),
    "as many as a photograph may have, all zero": runs("[" + "0," * 1_900_000 + f"{SIZE * SIZE}]"),
    "counts of 1e308": runs("[1e308,2304]"),
    "counts of NaN": runs("[NaN,2304]"),
    "counts that are true": runs("[true,2303]"),
    "counts in an object": runs('{"0":2304}'),
    "brackets": drawn(DEEP),
    "brackets alone": DEEP,
    "brackets in a field that is not asked for": '{"masks":{},"x":' + DEEP + "}",
    "brackets beside a mask": drawn(json.dumps(rle())[:-1] + ',"x":' + "[" * 90 + "]" * 90 + "}"),
    "something beside a mask": drawn({**rle(), "x": "y"}),
    "a mask that is a text": drawn('"mask"'),
    "a mask that is nothing": drawn("null"),
    "no mask": '{"masks":{}}',
    "masks in a list": '{"masks":[1]}',
    "another structure": json.dumps({"masks": {"fovea": rle()}}),
    "a structure with a zero byte": json.dumps({"masks": {"disc\0": rle()}}),
    "a structure in Greek": json.dumps({"masks": {"δίσκος\u202e": rle()}}),
    "half a surrogate": '{"masks":{"\\ud800":1}}',
    "a name of four million letters": json.dumps({"masks": {"d" * 4_000_000: rle()}}),
    "a field of four million letters": beside(**{"d" * 4_000_000: 1}),
    "a hundred thousand structures": json.dumps({"masks": {str(number): {} for number in range(100_000)}}),
    "clicks of 1e308": beside()[:-1] + ',"clicks":1e308}',
    "negative clicks": beside(clicks=-1),
    "seconds of NaN": beside()[:-1] + ',"seconds":NaN}',
    "seconds of 1e308": beside()[:-1] + ',"seconds":1e308}',
    "assisted by a text": beside(assisted="perhaps"),
    "no JSON": "\0\1\2",
    "nothing": "",
}
DRAFTS = {
    "brackets": DEEP,
    "brackets that JSON just reads": "[" * 900 + "]" * 900,
    "NaN": '{"a":NaN}',
    "infinity by its size": '{"a":1e999}',
    "half a surrogate": '{"a":"\\ud800"}',
    "no JSON": "{",
    "no text": b"\xff\xfe\xfa",
    "a number too long to be read": "9" * 5000,
    "too much": '"' + "x" * 2_000_001 + '"',
    "nothing": "",
}


@pytest.fixture
def held(world: World, monitor: TestClient) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    """A case that is out, with a draft, before and after what a test does to it."""
    world.capture(monitor, 3)
    given = take(monitor)
    assert given is not None
    assert ask(monitor, given, "PUT", "draft", DRAFT).status_code == 200
    yield monitor, given
    again = take(monitor)
    assert again is not None
    assert (again["case"], again["draft"]) == (given["case"], DRAFT)
    assert accept(monitor, again).status_code == 200, "the case is still its annotator's"


def sent(monitor: TestClient, method: str, address: str, body: str | bytes, token: str) -> Any:
    """The answer, refused in less than a second of this process and 200 MB."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = body.encode() if isinstance(body, str) else body
    answer = monitor.request(method, f"/api/annotate/cases/{address}", content=data, headers={"X-Lease": token})
    assert time.process_time() - began < 1
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MOST_BYTES
    return answer


def refused(answer: Any, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text[:300]
    assert answer.json()["error"]["what"]
    assert len(answer.content) < 2000, "what was sent is not sent back"


def test_a_label_that_is_garbage_is_refused_and_its_case_stays_as_it_was(
    held: tuple[TestClient, dict[str, Any]],
) -> None:
    monitor, given = held
    wrong = {}
    for name, body in LABELS.items():
        try:
            refused(sent(monitor, "POST", f"{given['case']}/accept", body, given["lease"]["token"]), 400)
        except Exception as error:
            wrong[name] = f"{type(error).__name__} {error}"[:400]
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def test_a_draft_that_could_not_be_given_back_is_refused(held: tuple[TestClient, dict[str, Any]]) -> None:
    monitor, given = held
    wrong = {}
    for name, body in DRAFTS.items():
        try:
            refused(sent(monitor, "PUT", f"{given['case']}/draft", body, given["lease"]["token"]), 400, 413)
        except Exception as error:
            wrong[name] = f"{type(error).__name__} {error}"[:400]
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def test_neither_takes_two_hundred_megabytes(held: tuple[TestClient, dict[str, Any]]) -> None:
    monitor, given = held

    def flood() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(1_000_000)

    for method, what in (("POST", "accept"), ("PUT", "draft")):
        address, headers = f"/api/annotate/cases/{given['case']}/{what}", {"X-Lease": given["lease"]["token"]}
        refused(monitor.request(method, address, content=flood(), headers=headers), 413)


CASES = ("nobody", "B-9999", "%00", "δίσκος", "..%2F..", "x" * 300, "%ed%a0%80")


def test_a_case_that_nobody_has_is_nobodys(held: tuple[TestClient, dict[str, Any]]) -> None:
    monitor, given = held
    body = json.dumps({"masks": DRAWN})
    for method, what in (("POST", "accept"), ("PUT", "draft")):
        for case in CASES:
            answer = sent(monitor, method, f"{case}/{what}", body, given["lease"]["token"])
            assert answer.status_code in (404, 409), answer.text[:300]
    for token in ("", "\u00ff" * 10, "x" * 5000):
        headers = {"X-Lease": token.encode("latin-1")}
        answer = monitor.put(f"/api/annotate/cases/{given['case']}/draft", content=body, headers=headers)
        assert answer.status_code == 409
