"""`parfocal pipeline`: the same compiled YAML on this machine and on a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parfocal.cli.approving import approve
from parfocal.cli.console import Options, common
from parfocal.core.config import Config
from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal.adapters.kubeflow import KubeflowSettings

EXPERIENCE = click.option(
    "--experience",
    "experiences",
    multiple=True,
    required=True,
    help="Folder or URI of labelled images of one instrument. For `fleet` INSTRUMENT=FOLDER, once for each.",
)
CHAMPION = click.option("--champion", default="champion", show_default=True, help="Bundle folder, version or alias.")
KEY = click.option("--key", default="", help="Idempotency key. Default: from the pipeline, its inputs and settings.")
SHARDS = click.option("--shards", type=click.IntRange(1), help="Of `sharded`: parts preprocessed side by side.")
HOST = click.option("--host", default="", help="Kubeflow Pipelines API. Default: PARFOCAL_KFP_HOST.")
NAMESPACE = click.option("--namespace", default="", help="Profile namespace. Default: PARFOCAL_KFP_NAMESPACE.")
EXPERIMENT = click.option("--experiment", default="", help="Experiment; made if it is not there.")


@click.group()
def pipeline() -> None:
    """List, compile, run, submit and schedule the Kubeflow pipelines.

    `initial` makes a first model, `sharded` likewise of images that are preprocessed in parts; `continual` teaches the
    champion a new experience, `fleet` several, one after the other. `run` executes the compiled YAML on this machine
    with kfp.local, a process a step; `submit` sends the same file to a Kubeflow Pipelines API, and `schedule` has that
    start it by the clock. `approve` promotes what the gate could not decide.
    """


pipeline.add_command(approve)


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
    "--placement",
    default="",
    help="gpu, cpu, gke, eks, aks, or a YAML file: node pools, tolerations, retries, time limits.",
)
@click.option("--objects", is_flag=True, help="Also Kubernetes' objects Pipeline and PipelineVersion, in OUT/objects.")
@click.option("--namespace", default="", help="Of these objects. Default: that of whoever applies them.")
def compile_(out: Path | None, placement: str, objects: bool, namespace: str) -> None:
    """Write every component.yaml and pipeline.yaml anew. A step that fits on no declared node is refused."""
    from parfocal.adapters import kubeflow

    for file in kubeflow.compile_all(out, placement, objects=objects, namespace=namespace):
        click.echo(file)


@pipeline.command()
@click.argument("name")
@EXPERIENCE
@CHAMPION
@KEY
@SHARDS
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
    name: str,
    experiences: Sequence[str],
    champion: str,
    key: str,
    shards: int | None,
    root: Path,
    containers: bool,
    image: str,
    options: Options,
) -> None:
    """Run the pipeline NAME (or a compiled file) on this machine and wait for its end."""
    from parfocal.adapters import kubeflow

    file = kubeflow.pipeline(name)
    with options.reporter() as report:
        arguments = _arguments(file, experiences, champion, key, options, shards)
        shut_in = kubeflow.Containers(image=image) if containers or image else None
        done = kubeflow.run_local(file, arguments, root, reporter=report, containers=shut_in)
    lines = [f"{output}: {value}" for output, value in done.outputs.items()]
    options.result({"outputs": dict(done.outputs), "log": done.log}, "\n".join([*lines, f"log: {done.log}"]))


@pipeline.command()
@click.argument("name")
@EXPERIENCE
@CHAMPION
@KEY
@SHARDS
@HOST
@NAMESPACE
@EXPERIMENT
@common
def submit(
    name: str,
    experiences: Sequence[str],
    champion: str,
    key: str,
    shards: int | None,
    host: str,
    namespace: str,
    experiment: str,
    options: Options,
) -> None:
    """Send the pipeline NAME (or a compiled file) to a Kubeflow API and start a run; a token comes from
    PARFOCAL_KFP_TOKEN or the pod's service account. A champion that pods could not fetch is stored below
    PARFOCAL_STORAGE first."""
    from parfocal.adapters import kubeflow

    file = kubeflow.pipeline(name)
    champion = _where_pods_find(champion, file, options)
    arguments = _arguments(file, experiences, champion, key, options, shards)
    settings = _settings(host, namespace, experiment)
    sent = kubeflow.submit(file, arguments, name=arguments["idempotency_key"], settings=settings)
    said = "started" if sent.created else "is there already"
    options.result(
        {"run_id": sent.run_id, "url": sent.url, "created": sent.created}, f"run {sent.run_id} {said}\n{sent.url}"
    )


@pipeline.command()
@click.argument("name")
@EXPERIENCE
@click.option("--cron", required=True, help="'0 3 1 * *': the first of every month at 3:00, in the server's time zone.")
@click.option("--name", "called", default="", help="Of the recurring run. Default: the pipeline's.")
@HOST
@NAMESPACE
@EXPERIMENT
@common
def schedule(
    name: str,
    experiences: Sequence[str],
    cron: str,
    called: str,
    host: str,
    namespace: str,
    experiment: str,
    options: Options,
) -> None:
    """Have a Kubeflow API start the pipeline NAME by the clock, one run at a time, none for a time that was missed.

    [[ScheduledTime.2006-01]] in an address becomes the year and month of the run (Go's way to write a time format).
    """
    from parfocal.adapters import kubeflow
    from parfocal.adapters.kubeflow_schedule import TIME

    file = kubeflow.pipeline(name)
    called = called or file.parent.name
    arguments = _arguments(file, experiences, "", f"{called}-{TIME}", options)
    made = kubeflow.schedule(file, arguments, name=called, cron=cron, settings=_settings(host, namespace, experiment))
    said = "made" if made.created else "is there already"
    values = {"recurring_run_id": made.recurring_run_id, "url": made.url, "created": made.created}
    options.result(values, f"recurring run {called} {said}\n{made.url}")


def _settings(host: str, namespace: str, experiment: str) -> KubeflowSettings:
    """Of the environment, but for what was named."""
    from parfocal.adapters import kubeflow

    named = {"host": host, "namespace": namespace, "experiment": experiment}
    return kubeflow.KubeflowSettings().model_copy(update={field: value for field, value in named.items() if value})


def _arguments(
    file: Path, experiences: Sequence[str], champion: str, key: str, options: Options, shards: int | None = None
) -> dict[str, str]:
    """The arguments that the compiled pipeline asks for, and no others; no champion is looked up without a name."""
    from parfocal.adapters.kubeflow import Compiled

    asked = Compiled.read(file).inputs
    config: Config = options.config()
    values = {"config": config.canonical_json()}
    if "experiences" in asked:
        values["experiences"] = json.dumps(dict(_pair(text) for text in experiences), sort_keys=True)
    elif "experience_uri" not in asked:
        raise UsageError(
            f"the pipeline {file.parent.name} takes no experience", next="a study: parfocal study submit NAME"
        )
    elif len(experiences) > 1:
        raise UsageError(
            f"the pipeline {file.parent.name} takes one experience", next="several, one after another: `fleet`"
        )
    else:
        values["experience_uri"] = experiences[0]
    if "champion_uri" in asked:
        values["champion_uri"] = _champion_uri(champion, options.config().task) if champion else "by its alias"
    digest = hashlib.sha256("\n".join([file.parent.name, *values.values()]).encode()).hexdigest()[:16]
    values["idempotency_key"] = key or f"{file.parent.name}-{digest}"  # as many shards as you like, the same work
    return {**values, **({"shards": str(shards)} if shards else {})}


def _pair(text: str) -> tuple[str, str]:
    """Of an instrument and where its images are; a folder of this machine by its whole path."""
    instrument, separator, place = text.partition("=")
    if not (instrument and separator and place):
        raise UsageError(f"--experience {text}", expected="INSTRUMENT=FOLDER")
    return instrument, place if "://" in place else str(Path(place).absolute())


def _where_pods_find(champion: str, file: Path, options: Options) -> str:
    """The champion's address for a pipeline that asks for one; stored first, where pods could not fetch it."""
    from parfocal.adapters import connect
    from parfocal.adapters.champion_address import champion_address
    from parfocal.adapters.kubeflow import Compiled

    if not champion or "champion_uri" not in Compiled.read(file).inputs:
        return champion
    return champion_address(connect(), champion, options.config().task)


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
