"""A branch on the output of a pipeline inside a pipeline, which `kfp.local` by itself never takes."""

from pathlib import Path
from typing import NamedTuple

import pytest
from kfp import compiler, dsl

from parfocal.adapters.kubeflow_local import run_local


class Said(NamedTuple):
    """Outputs of the pipeline inside."""

    outcome: str


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def say(word: str) -> str:
    return word


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def show(out: dsl.Output[dsl.Markdown]):
    from pathlib import Path

    Path(out.path).write_text("shown")


@dsl.pipeline(name="inside")
def inside(word: str) -> Said:
    return Said(outcome=say(word=word).output)


@dsl.pipeline(name="branch")
def branch(word: str):
    told = inside(word=word)
    with dsl.If(told.outputs["outcome"] == "promote"):
        show()


@pytest.mark.parametrize(("word", "shown"), [("promote", ["shown"]), ("refuse", [])])
def test_a_branch_is_taken_when_its_condition_holds_and_not_otherwise(
    word: str, shown: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "branch.yaml"
    compiler.Compiler().compile(branch, str(file))
    run_local(file, {"word": word}, tmp_path / "runs")
    assert [out.read_text() for out in tmp_path.glob("runs/branch-*/show/out")] == shown
