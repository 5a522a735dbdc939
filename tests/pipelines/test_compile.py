"""The committed YAML is what the sources compile to, to the byte."""

import os
import subprocess
import sys
from pathlib import Path

import parfocal_components
import parfocal_pipelines
import pytest
import yaml

from parfocal.adapters import kubeflow
from parfocal.core.errors import UsageError

PIPELINES = Path(parfocal_pipelines.__file__).parent
COMPONENTS = Path(parfocal_components.__file__).parent
ARGUMENTS = {
    "initial": ["config", "experience_uri", "idempotency_key"],
    "pretrained": ["config", "experience_uri", "idempotency_key"],
    "study": ["config", "idempotency_key"],
    "continual": ["champion_uri", "config", "experience_uri", "idempotency_key"],
    "segmented": ["champion_uri", "config", "experience_uri", "idempotency_key"],
    "fleet": ["config", "experiences", "idempotency_key"],
    "sharded": ["config", "experience_uri", "idempotency_key", "shards"],
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fresh")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("PARFOCAL_IMAGE", raising=False)
        kubeflow.compile_all(out)
    return out


def test_every_committed_file_equals_a_fresh_compile(fresh: Path) -> None:
    made = {str(file.relative_to(fresh)): file.read_text() for file in fresh.rglob("*.yaml")}
    committed = {f"components/{name}/component.yaml": f.read_text() for name, f in kubeflow.components().items()}
    committed |= {f"pipelines/{name}/pipeline.yaml": file.read_text() for name, file in kubeflow.available().items()}
    assert set(made) == set(committed)
    stale = [name for name, text in made.items() if committed[name] != text]
    assert stale == [], "run `make compile`"


def test_compiling_is_the_same_in_every_process(fresh: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parfocal_pipelines.compile", "--out", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "PARFOCAL_IMAGE"}
    subprocess.run(command, check=True, capture_output=True, env={**environment, "PYTHONHASHSEED": "7"})
    for file in fresh.rglob("*.yaml"):
        assert (tmp_path / file.relative_to(fresh)).read_text() == file.read_text()


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_pipeline_takes_exactly_the_arguments_of_the_contract(name: str) -> None:
    spec = kubeflow.Compiled.read(kubeflow.pipeline(name))
    assert sorted(spec.inputs) == ARGUMENTS[name]
    assert all(spec.inputs.values()), "every argument is explained"
    assert spec.title
    assert spec.description


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_only_the_configuration_has_a_default_in_the_run_form(name: str) -> None:
    (spec, _) = yaml.safe_load_all(kubeflow.pipeline(name).read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    shown = {key: one.get("defaultValue") for key, one in parameters.items() if one.get("isOptional")}
    assert shown.pop("shards", None) == (8.0 if name == "sharded" else None)
    told = name in ("initial", "pretrained", "continual", "sharded")  # whose images these are
    assert shown == {"config": '{"data": {"instrument": ""}}' if told else ""}


@pytest.mark.parametrize("name", ["initial", "pretrained", "continual", "fleet", "sharded"])
def test_the_last_step_runs_whatever_becomes_of_the_others(name: str) -> None:
    tasks = next(yaml.safe_load_all(kubeflow.pipeline(name).read_text()))["root"]["dag"]["tasks"]
    steps = f"parfocal-{name}-steps"
    card = {"condition-1"} if name in ("initial", "continual") else set()
    assert set(tasks) == {steps, "report-end"} | card
    assert tasks["report-end"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert tasks["report-end"]["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": steps}}


@pytest.mark.parametrize("name", ["initial", "continual"])
def test_the_model_card_hangs_on_the_gates_word_beside_the_steps_and_not_among_them(name: str) -> None:
    spec = next(yaml.safe_load_all(kubeflow.pipeline(name).read_text()))
    (branch,) = [task for task in spec["root"]["dag"]["tasks"].values() if "condition" in task.get("triggerPolicy", {})]
    assert branch["triggerPolicy"]["condition"].endswith("-outcome'] == 'promote'")
    assert branch["dependentTasks"] == [f"parfocal-{name}-steps"]
    assert set(spec["components"][branch["componentRef"]["name"]]["dag"]["tasks"]) == {"model-card"}
    inside = spec["components"][f"comp-parfocal-{name}-steps"]["dag"]["tasks"].values()
    assert not [task for task in inside if "triggerPolicy" in task], "report_end would hear that they still run"


@pytest.mark.parametrize("name", sorted(ARGUMENTS.keys() - {"study", "segmented", "fleet"}))
def test_the_outcome_is_an_output_of_the_pipeline(name: str) -> None:
    (spec, _) = yaml.safe_load_all(kubeflow.pipeline(name).read_text())
    assert spec["root"]["outputDefinitions"]["parameters"] == {"outcome": {"parameterType": "STRING"}}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_folder_has_the_files_of_the_convention(name: str) -> None:
    files = {"__init__.py", "pipeline.py", "pipeline.yaml", "metadata.yaml", "README.md", "OWNERS"}
    assert {file.name for file in (PIPELINES / name).iterdir() if file.is_file()} == files
    assert yaml.safe_load((PIPELINES / name / "metadata.yaml").read_text())["name"] == name
    readme = (PIPELINES / name / "README.md").read_text()
    assert all(f"| `{argument}` |" in readme for argument in ARGUMENTS[name])


def test_the_image_can_be_named_when_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_IMAGE", "registry.example.org/parfocal@sha256:abc")
    kubeflow.compile_all(tmp_path)
    for file in tmp_path.glob("pipelines/*/pipeline.yaml"):
        named = file.read_text().count("image: registry.example.org/parfocal@sha256:abc\n")
        assert named == file.read_text().count("image: ") >= 1


def test_every_folder_with_a_source_is_compiled() -> None:
    assert set(kubeflow.available()) == {file.parent.name for file in PIPELINES.glob("*/pipeline.py")} == set(ARGUMENTS)
    assert set(kubeflow.components()) == {file.parent.name for file in COMPONENTS.glob("*/component.py")}


def test_compiled_components_fit_into_a_pipeline_of_somebody_elses(tmp_path: Path) -> None:
    out = tmp_path / "theirs.yaml"
    example = PIPELINES.parent / "examples" / "other_pipeline.py"
    subprocess.run([sys.executable, example, out], check=True, capture_output=True)
    spec = kubeflow.Compiled.read(out)
    assert sorted(spec.inputs) == ["challenger_uri", "champion_uri", "config", "key"]
    (ours,) = [image for image in spec.images if "parfocal" in image]
    assert (
        next(yaml.safe_load_all(out.read_text()))["deploymentSpec"]["executors"]["exec-promote"]["container"]["image"]
        == ours
    )


def test_the_objects_of_kubernetes_hold_the_very_same_pipeline_under_the_name_that_submit_looks_for(
    tmp_path: Path,
) -> None:
    written = kubeflow.compile_all(tmp_path, objects=True, namespace="clinic")
    assert tmp_path / "objects" / "continual.yaml" in written
    for name in ARGUMENTS:
        file = tmp_path / "pipelines" / name / "pipeline.yaml"
        spec, platform = yaml.safe_load_all(file.read_text())
        pipeline, version = yaml.safe_load_all((tmp_path / "objects" / f"{name}.yaml").read_text())
        assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
        assert pipeline["metadata"] == {"name": f"parfocal-{name}", "namespace": "clinic"}
        assert version["metadata"] == {"name": kubeflow.Compiled.read(file).version, "namespace": "clinic"}
        assert len(version["metadata"]["name"]) <= 63
        assert pipeline["spec"]["displayName"] == kubeflow.Compiled.read(file).title
        assert version["spec"]["displayName"] == kubeflow.Compiled.read(file).version_title
        assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
        assert (version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]) == (spec, platform)
    with pytest.raises(UsageError, match="--out"):
        kubeflow.compile_all(objects=True)
