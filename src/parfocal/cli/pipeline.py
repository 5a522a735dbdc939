"""`parfocal pipeline`: the same compiled YAML on this machine and on a cluster."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from parfocal.cli.console import Options, common
from parfocal.core.config import Config
from parfocal.core.errors import UsageError

EXPERIENCE = click.option("--experience", required=True, help="Folder or URI of labelled images of one instrument.")
CHAMPION = click.option("--champion", default="champion", show_default=True, help="Bundle folder, version or alias.")
KEY = click.option("--key", default="", help="Idempotency key. Default: from the pipeline, its inputs and settings.")


@click.group()
def pipeline() -> None:
    """List, compile, run and submit the Kubeflow pipelines.

    `initial` makes a first model; `continual` teaches the champion a new experience. `run` executes the compiled YAML
    on this machine with kfp.local, a process a step; `submit` sends the same file to a Kubeflow Pipelines API.
    """


@pipeline.command("list")
def list_() -> None:
    """Print the compiled pipelines and components, and where they are."""
    from parfocal.adapters import kubeflow

    for kind, found in (("pipeline", kubeflow.available()), ("component", kubeflow.components())):
        for name, file in found.items():
            click.echo(f"{kind:<10} {name:<12} {file}")


@pipeline.command("compile")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Default: beside each source.")
@click.option(
    "--placement", default="", help="gpu, cpu, or a YAML file: node pools, tolerations, retries, time limits."
)
def compile_(out: Path | None, placement: str) -> None:
    """Write every component.yaml and pipeline.yaml anew."""
    from parfocal.adapters import kubeflow

    for file in kubeflow.compile_all(out, placement):
        click.echo(file)


@pipeline.command()
@click.argument("name")
@EXPERIENCE
@CHAMPION
@KEY
@click.option(
    "--root",
    default="runs/pipelines",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the steps' folders are made. They stay: later bundles name them.",
)
@click.option(
    "--containers", is_flag=True, help="Each step in a container (read-only root, no capabilities, 4 GB, no network)."
)
@click.option("--image", default="", help="Of the containers. Default: what the compiled pipeline names.")
@common
def run(
    name: str, experience: str, champion: str, key: str, root: Path, containers: bool, image: str, options: Options
) -> None:
    """Run the pipeline NAME (or a compiled file) on this machine and wait for its end."""
    from parfocal.adapters import kubeflow

    file = kubeflow.pipeline(name)
    with options.reporter() as report:
        arguments = _arguments(file, experience, champion, key, options)
        shut_in = kubeflow.Containers(image=image) if containers or image else None
        done = kubeflow.run_local(file, arguments, root, reporter=report, containers=shut_in)
    lines = [f"{output}: {value}" for output, value in done.outputs.items()]
    options.result({"outputs": dict(done.outputs), "log": done.log}, "\n".join([*lines, f"log: {done.log}"]))


@pipeline.command()
@click.argument("name")
@EXPERIENCE
@CHAMPION
@KEY
@click.option("--host", default="", help="Kubeflow Pipelines API. Default: PARFOCAL_KFP_HOST.")
@click.option("--namespace", default="", help="Profile namespace. Default: PARFOCAL_KFP_NAMESPACE.")
@click.option("--experiment", default="", help="Experiment; made if it is not there.")
@common
def submit(
    name: str, experience: str, champion: str, key: str, host: str, namespace: str, experiment: str, options: Options
) -> None:
    """Send the pipeline NAME (or a compiled file) to a Kubeflow API and start a run; a token comes from
    PARFOCAL_KFP_TOKEN or the pod's service account."""
    from parfocal.adapters import kubeflow

    file = kubeflow.pipeline(name)
    arguments = _arguments(file, experience, champion, key, options)
    named = {"host": host, "namespace": namespace, "experiment": experiment}
    settings = kubeflow.KubeflowSettings().model_copy(update={field: value for field, value in named.items() if value})
    sent = kubeflow.submit(file, arguments, name=arguments["idempotency_key"], settings=settings)
    said = "started" if sent.created else "is there already"
    options.result(
        {"run_id": sent.run_id, "url": sent.url, "created": sent.created}, f"run {sent.run_id} {said}\n{sent.url}"
    )


def _arguments(file: Path, experience: str, champion: str, key: str, options: Options) -> dict[str, str]:
    """The arguments that the compiled pipeline asks for, and no others."""
    from parfocal.adapters.kubeflow import Compiled

    if "experience_uri" not in Compiled.read(file).inputs:
        raise UsageError(
            f"the pipeline {file.parent.name} takes no experience", next="a study: parfocal study submit NAME"
        )
    config: Config = options.config()
    values = {"config": config.canonical_json(), "experience_uri": experience}
    if "champion_uri" in Compiled.read(file).inputs:
        values["champion_uri"] = _champion_uri(champion, options.config().task)
    digest = hashlib.sha256("\n".join([file.parent.name, *values.values()]).encode()).hexdigest()[:16]
    return {**values, "idempotency_key": key or f"{file.parent.name}-{digest}"}


def _champion_uri(reference: str, task: str) -> str:
    """A folder or URI as it stands; a version or alias becomes the place where its bundle is stored."""
    if "://" in reference or Path(reference).is_dir():
        return reference
    from parfocal.adapters import connect

    version = connect().models.get(task, reference)
    if version is None:
        raise UsageError(
            f"there is no champion '{reference}' of {task}", next="run the pipeline `initial` first, or name a bundle"
        )
    return version.uri
