"""What is written when a person accepts a case."""

import json

from parfocal_serving.monitor.annotate.labels import Accepted, Drawn, new_case

from parfocal.core.types import Observation, Split


def test_mask_clicks_annotator_and_time_are_written() -> None:
    clicks = {"disc": [{"row": 1, "column": 2, "object": True}, {"row": 3, "column": 4, "object": False}]}
    seen = Observation("c1", "fundus", "B", "7", "r", 0, 50.0, (), {}, {}, patient_hmac="ab12")
    said = Accepted(masks={"disc": {}}, clicks=2, assisted=True, seconds=9.5)
    case = new_case(b"photo", {"disc": b"png"}, Drawn(seen, "Ada", Split.TRAIN, True, said, clicks, {}, 1.7e9))
    assert (case.masks, case.grader, case.patient, case.purpose) == ({"disc": b"png"}, "Ada", "ab12", Split.TRAIN)
    notes = json.loads(case.notes)
    assert (notes["annotator"], notes["time"], notes["clicked"]) == ("Ada", 1.7e9, clicks)
    assert (notes["clicks"], notes["answered_by"]) == (2, "7")
