import io
import json

from parfocal.core.reporting import JsonLines


def test_one_json_object_an_epoch_and_nothing_inside_it() -> None:
    stream = io.StringIO()
    reporter = JsonLines(stream)
    reporter.progress("train", 1, 10)
    reporter.epoch("train", 10, {"loss": 0.123456789})
    reporter.note("done")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"stage": "train", "step": 10, "loss": 0.12346},
        {"note": "done"},
    ]
