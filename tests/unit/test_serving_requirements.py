"""serving/requirements.txt is what the services import: the image has nothing else."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OPTIONAL = {"pyjpegls"}
"""Comes with highdicom."""


def imported(folder: Path) -> set[str]:
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names)


def test_every_package_that_the_services_import_is_listed() -> None:
    lines = (ROOT / "serving" / "requirements.txt").read_text().splitlines()
    listed = {canonicalize_name(Requirement(line).name) for line in lines if line and line[0] != "#"}
    listed |= {"starlette", "anyio"}  # FastAPI's own ground
    owners = packages_distributions()
    missing = {
        name
        for name in imported(ROOT / "serving") - OPTIONAL
        if not name.startswith("parfocal") and not {canonicalize_name(d) for d in owners.get(name, [])} & listed
    }
    assert missing == set()
