"""What every component folder promises; a new folder is covered from the day it is there."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import parfocal_components
import pytest
import yaml
from kfp import dsl

from parfocal import __version__
from parfocal.core.errors import DataContractError, UsageError

ROOT = Path(parfocal_components.__file__).parent
NAMES = sorted(file.parent.name for file in ROOT.glob("*/component.py"))
FILES = {"__init__.py", "component.py", "component.yaml", "metadata.yaml", "README.md", "OWNERS"}


def function(name: str) -> ast.FunctionDef:
    (found,) = [n for n in ast.parse((ROOT / name / "component.py").read_text()).body if isinstance(n, ast.FunctionDef)]
    return found


def statements(body: list[ast.stmt]) -> int:
    """How many statements there are, those inside others too, without the docstring."""
    inside = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.stmt)]
    return len([node for node in inside if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))])


def foreign(source: str, allowed: set[str]) -> list[str]:
    """Modules imported at module level that are neither of the standard library nor allowed."""
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or ".")
    tops = {name.split(".")[0] for name in names}
    return sorted(tops - set(sys.stdlib_module_names) - allowed)


def compiled(name: str) -> dict:
    return next(yaml.safe_load_all((ROOT / name / "component.yaml").read_text()))


def test_the_five_steps_are_there() -> None:
    assert set(NAMES) >= {"preprocess", "train", "retrain", "evaluate", "promote"}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_has_the_files_of_the_convention(name: str) -> None:
    assert {file.name for file in (ROOT / name).iterdir() if file.is_file()} == FILES


def test_the_list_of_components_has_each_once() -> None:
    listed = re.findall(r"\]\((\w+)/README\.md\)", (ROOT / "README.md").read_text())
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_body_converts_and_calls_and_decides_nothing(name: str) -> None:
    body = function(name).body
    assert statements(body) <= 10
    assert not [n for n in ast.walk(function(name)) if isinstance(n, ast.If | ast.For | ast.While | ast.Try)]
    called = re.findall(r"from parfocal\.(?:steps|studies) import (\w+) as step", ast.unparse(ast.Module(body, [])))
    assert called == [name]


def test_the_count_of_statements_sees_those_inside_others() -> None:
    body = ast.parse("'''doc'''\nimport a\nwith a:\n    b = 1\n    if b:\n        c = 2\n").body
    assert statements(body) == 5


@pytest.mark.parametrize("name", NAMES)
def test_module_level_imports_are_the_standard_library_and_kfp(name: str) -> None:
    assert foreign((ROOT / name / "component.py").read_text(), {"kfp", "parfocal_components"}) == []


def test_the_guard_of_imports_sees_a_foreign_one() -> None:
    assert foreign("import os, numpy.linalg\nfrom torch import nn", {"kfp"}) == ["numpy", "torch"]


@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_pinned_and_installs_nothing_at_run_time(name: str) -> None:
    (executor,) = compiled(name)["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == f"parfocal/components:{__version__}"
    assert "pip install" not in " ".join(executor["container"]["command"])


@pytest.mark.parametrize("name", NAMES)
def test_at_most_four_values_beside_the_configuration(name: str) -> None:
    parameters = compiled(name)["components"][f"comp-{name.replace('_', '-')}"]["inputDefinitions"]["parameters"]
    assert "config" in parameters
    assert len(parameters) <= 5


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_explains_every_input_and_output_and_no_other(name: str) -> None:
    component = compiled(name)["components"][f"comp-{name.replace('_', '-')}"]
    names = {
        key
        for side in ("inputDefinitions", "outputDefinitions")
        for kind in component.get(side, {}).values()
        for key in kind
    }
    assert set(re.findall(r"^\| `(\w+)` \|", (ROOT / name / "README.md").read_text(), re.MULTILINE)) == names


@pytest.mark.parametrize("name", NAMES)
def test_metadata_follows_the_convention_of_shared_components(name: str) -> None:
    said = yaml.safe_load((ROOT / name / "metadata.yaml").read_text())
    assert set(said) == {"name", "stability", "dependencies", "lastVerified", "tags"}
    assert said["name"] == name
    assert said["stability"] in {"alpha", "beta", "stable"}
    assert all(set(entry) == {"name", "version"} for entry in said["dependencies"]["kubeflow"])
    assert all(isinstance(tag, str) for tag in said["tags"])
    owners = yaml.safe_load((ROOT / name / "OWNERS").read_text())
    assert owners["approvers"]


def arguments(name: str, tmp_path: Path, **given: object) -> dict[str, object]:
    """Every argument of a component, artifacts in `tmp_path`."""
    built = getattr(import_module(f"parfocal_components.{name}.component"), name)
    said: dict[str, object] = {}
    for key, annotation in built.python_func.__annotations__.items():
        if key != "return":
            said[key] = annotation() if annotation in (str, dict, int) else dsl.Artifact(uri=str(tmp_path / key))
    return {**said, **given}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "report_end"])  # which has to report just that
def test_a_wrong_configuration_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    built = getattr(import_module(f"parfocal_components.{name}.component"), name)
    with pytest.raises(UsageError, match="bogus"):
        built.python_func(**arguments(name, tmp_path, config='{"bogus": 1}'))
    assert list(tmp_path.iterdir()) == []


def test_an_experience_that_is_not_there_fails_with_the_steps_own_error(tmp_path: Path) -> None:
    from parfocal_components.preprocess.component import preprocess

    config = '{"data": {"instrument": "a"}}'
    with pytest.raises(DataContractError):
        preprocess.python_func(**arguments("preprocess", tmp_path, config=config, champion=None))
    assert not (tmp_path / "dataset").exists()
