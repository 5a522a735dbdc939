"""Simulated examinations with known truth, for tests, for the demo and for whoever has no data yet.

Colour fundus photographs by `case` and `write`; CT of the leg (bone), chest radiographs (lung) and MR of the prostate
by `volume` and `write_volumes`.
"""

from parfocal.phantoms.camera import INSTRUMENTS, Camera
from parfocal.phantoms.examinations import scanners, volume, write_volumes
from parfocal.phantoms.eye import Eye
from parfocal.phantoms.folder import write
from parfocal.phantoms.photograph import Phantom, case
from parfocal.phantoms.volume import Volume

__all__ = [
    "INSTRUMENTS", "Camera", "Eye", "Phantom", "Volume", "case", "scanners", "volume", "write", "write_volumes",
]  # fmt: skip
