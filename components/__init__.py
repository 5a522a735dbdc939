"""Kubeflow components: a folder each, found by its file names. `component.py` is written, `component.yaml` compiled.

A component's body turns artifacts into paths, connects to the platform, calls one step and hands on what it made.
Nothing is decided here; that is in `parfocal.steps`.
"""

import os

from parfocal import __version__

IMAGE = os.environ.get("PARFOCAL_IMAGE", f"parfocal/components:{__version__}")
"""The image every component runs in, with `parfocal[platform]` of the same version in it. Read when compiling."""
