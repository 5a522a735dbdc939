"""Simulated colour fundus photographs with known truth, for tests, for the demo and for whoever has no data yet."""

from parfocal.phantoms.camera import INSTRUMENTS, Camera
from parfocal.phantoms.eye import Eye
from parfocal.phantoms.folder import write
from parfocal.phantoms.photograph import Phantom, case

__all__ = ["INSTRUMENTS", "Camera", "Eye", "Phantom", "case", "write"]
