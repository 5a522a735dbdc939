"""What the wheel carries: the library, and the top folders that are built on it under names of their own."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK = (
    "import json; from distutils.core import run_setup; found = run_setup('setup.py', stop_after='init');"
    "print(json.dumps([found.packages, found.package_dir]))"
)


def test_the_top_folders_travel_as_packages_with_every_folder_in_them() -> None:
    words = [sys.executable, "-c", f"import setuptools; {ASK}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    packages, places = json.loads(done.stdout.splitlines()[-1])
    for name in ("components", "pipelines", "serving", "manifests"):
        inner = [file.parent for file in (ROOT / name).rglob("__init__.py")]
        assert {f"parfocal_{'.'.join(folder.relative_to(ROOT).parts)}" for folder in inner} <= set(packages)
        assert places[f"parfocal_{name}"] == name
