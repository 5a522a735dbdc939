"""Build the images of this checkout, and send them to a registry when one is named: `make images PUSH=...`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

from parfocal import __version__

ROOT = Path(__file__).parents[1]
IMAGES = {
    "components": ("components/Containerfile", "cpu", ""),
    "components-gpu": ("components/Containerfile", "gpu", "-gpu"),
    "serving": ("serving/Containerfile", "", ""),
    "mlflow": ("manifests/base/mlflow/Containerfile", "", ""),
}
"""Name to Containerfile, target, and what is put behind the version in the tag."""


def main() -> None:
    """Build each image that is asked for, then print its tag, and its digest once a registry has it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", help=f"of {', '.join(IMAGES)}; default: all")
    parser.add_argument("--engine", default="", help="docker or podman; default: the one that is there")
    parser.add_argument("--push", default="", metavar="REGISTRY", help="such as registry.example.org/team")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="BASE, TORCH_INDEX")
    said = parser.parse_args()
    if unknown := sorted(set(said.images) - set(IMAGES)):
        parser.error(f"there is no image '{unknown[0]}'; there are {', '.join(IMAGES)}")
    engine = said.engine or shutil.which("docker") or shutil.which("podman")
    if engine is None:
        parser.error("neither docker nor podman is here: install one")
    revision = _output("git", "rev-parse", "HEAD") or "unknown"
    if _output("git", "status", "--porcelain"):
        revision += "-changed"
    given = [f"VERSION={__version__}", f"REVISION={revision}", *said.build_arg]
    arguments = [word for value in given for word in ("--build-arg", value)]
    for name in said.images or IMAGES:
        file, target, suffix = IMAGES[name]
        tag = f"{said.push.rstrip('/') or 'parfocal'}/{name.removesuffix('-gpu')}:{__version__}{suffix}"
        aim = ["--target", target] if target else []
        subprocess.run([engine, "build", "-f", file, *aim, "-t", tag, *arguments, "."], cwd=ROOT, check=True)
        if said.push:
            subprocess.run([engine, "push", tag], check=True)
            tag = _output(engine, "image", "inspect", "--format", "{{index .RepoDigests 0}}", tag) or tag
        print(tag)


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    main()
