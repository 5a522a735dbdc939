"""A small client of the segmenter, for programs of a clinic: no model is loaded here, nor PyTorch imported.

with Client("http://127.0.0.1:3000") as client:
    found = client.segment(Path("photo.jpg"), instrument="A")
    better = client.refine("disc", [Click(120, 160)], case=found.request_id)
"""

from parfocal.client.answers import (
    Click,
    Found,
    Instrument,
    Instruments,
    Isnt,
    Model,
    Models,
    PredictedDice,
    Refined,
    RunLengths,
    Segmented,
)
from parfocal.client.client import Client
from parfocal.client.errors import RefusedError
from parfocal.client.many import Outcome

__all__ = [
    "Click", "Client", "Found", "Instrument", "Instruments", "Isnt", "Model", "Models", "Outcome", "PredictedDice",
    "Refined", "RefusedError", "RunLengths", "Segmented",
]  # fmt: skip
