"""`parfocal study`: the papers' questions, asked again on any data of the right shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli.console import Options
from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal.studies.running import StudyConfig
    from parfocal.studies.tables import Table

SCALE = click.option(
    "--scale", type=click.Choice(["smoke", "quick", "paper"]), default="quick", show_default=True,
    help="smoke: a minute; quick: a quarter of an hour on two cores; paper: the full protocol, for a GPU.",
)  # fmt: skip
SEEDS = click.option("--seeds", type=click.IntRange(min=1), help="Repetitions. Default: 1, 2 or 3 by scale.")
DATA = click.option(
    "--data", multiple=True, metavar="NAME=FOLDER",
    help="A data set; repeatable. NAME is one of the study's roles, or any name, in their order. Default: phantoms.",
)  # fmt: skip
READER = click.option(
    "--reader", "readers", multiple=True, metavar="[NAME=]READER",
    help="Layout of all data sets, or of one; repeatable. Default: folder.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on standard output.")
QUIET = click.option("--quiet", is_flag=True, help="No progress.")


@click.group()
def study() -> None:
    """Ask a paper's question again: ours beside its figures and beside one mask for every image.

    A study that was stopped goes on with the same command: finished cells are kept in the state folder
    (PARFOCAL_STATE), named by their settings, the data's checksums and the code, and are not run again.
    """


@study.command("list")
@JSON
def list_(as_json: bool) -> None:
    """The studies: name, paper, question, minutes at each scale."""
    from parfocal.studies import FAMILY
    from parfocal.studies.running import load

    found = [load(name) for name in FAMILY]
    values = [{"name": s.name, "paper": s.paper, "shows": s.shows, "minutes": s.minutes} for s in found]
    rows = [(s.name, s.paper, s.shows, " / ".join(f"{m:g}" for m in s.minutes.values())) for s in found]
    heads = ("study", "paper", "question", "minutes: smoke / quick / paper")
    Options(None, (), as_json, True).result({"studies": values}, _grid("", heads, rows))


@study.command()
@click.argument("name")
@SCALE
@SEEDS
def show(name: str, scale: str, seeds: int | None) -> None:
    """What the study NAME needs, its cells at a scale, and what that scale cuts from the paper's protocol."""
    from parfocal.studies.running import load

    config = _config(name, scale, seeds, (), ())
    found = load(name)
    cells = found.cells(config.scale, config.repetitions)
    click.echo(f"{found.name}, paper {found.paper}: {found.shows}\n")
    for need in found.needs(config.scale):
        click.echo(
            f"  data  {need.role}: task {need.task}; without --data: {need.label}, simulated ({dict(need.phantom)})"
        )
    for cut in found.cuts(config.scale) or ("nothing: this is the full protocol",):
        click.echo(f"  cut   {cut}")
    for cell in cells:
        click.echo(f"  cell  {cell.title}")
    click.echo(f"\n{len(cells)} cells, about {found.minutes[config.scale]:g} minutes")


@study.command()
@click.argument("name")
@DATA
@READER
@SCALE
@SEEDS
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
@click.option("--choose", is_flag=True, help="architectures: name the smallest network that will do.")
@JSON
@QUIET
def run(
    name: str,
    data: tuple[str, ...],
    readers: tuple[str, ...],
    scale: str,
    seeds: int | None,
    out: Path,
    choose: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the study NAME on this machine and write its tables (CSV, Markdown, HTML, plots) to OUT."""
    from parfocal.adapters.settings import Settings
    from parfocal.studies import running
    from parfocal.studies.output import REPORT

    config = _config(name, scale, seeds, data, readers)
    if choose and name != "architectures":
        raise UsageError("--choose is a rule about architectures", next="parfocal study run architectures --choose")
    options = Options(None, (), as_json, quiet)
    with options.reporter() as report:
        sealed, result = running.run(config, out, state=Settings().state.resolve(), reporter=report)
    values: dict[str, Any] = {"study": out, "checksum": sealed.checksum, "report": out / REPORT}
    text = [_table(table) for table in result.tables]
    if choose:
        values["chosen"] = _chosen(out)
        text.append(values["chosen"]["sentence"] + f"\n  parfocal train ... {values['chosen']['settings']}\n")
    options.result(values, "\n".join([*text, f"report: {out / REPORT}"]))


@study.command()
@click.argument("name")
@DATA
@READER
@SCALE
@SEEDS
@click.option("--host", default="", help="Kubeflow Pipelines API. Default: PARFOCAL_KFP_HOST.")
@click.option(
    "--local",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run the pipeline on this machine with kfp.local instead; its folders are made here.",
)
@JSON
@QUIET
def submit(
    name: str,
    data: tuple[str, ...],
    readers: tuple[str, ...],
    scale: str,
    seeds: int | None,
    host: str,
    root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the study NAME as a Kubeflow pipeline: a task a cell, side by side, then its tables.

    Folders in --data must be visible to the pods under these paths (a shared volume).
    """
    from parfocal.adapters import kubeflow

    config = _config(name, scale, seeds, data, readers)
    options = Options(None, (), as_json, quiet)
    key = f"study-{name}-{scale}-{config.digest()}"
    arguments = {"config": config.canonical_json(), "idempotency_key": key}
    file = kubeflow.pipeline("study")
    if root is not None:
        with options.reporter() as report:
            done = kubeflow.run_local(file, arguments, root, reporter=report)
        lines = [f"{output}: {value}" for output, value in done.outputs.items()]
        options.result({"outputs": dict(done.outputs), "log": done.log}, "\n".join([*lines, f"log: {done.log}"]))
        return
    settings = kubeflow.KubeflowSettings().model_copy(update={"host": host} if host else {})
    sent = kubeflow.submit(file, arguments, name=key, settings=settings)
    said = "started" if sent.created else "is there already"
    options.result(
        {"run_id": sent.run_id, "url": sent.url, "created": sent.created}, f"run {sent.run_id} {said}\n{sent.url}"
    )


def _config(name: str, scale: str, seeds: int | None, data: Sequence[str], readers: Sequence[str]) -> StudyConfig:
    """The study's configuration out of the options.

    Raises:
        UsageError: unknown study, or an option that is not NAME=VALUE.
    """
    from parfocal.studies import FAMILY
    from parfocal.studies.running import StudyConfig

    FAMILY.load(name)  # an unknown name suggests the nearest
    folders = dict(_pair(text, "--data") for text in data)
    named = dict(_pair(text, "--reader") for text in readers if "=" in text)
    common = next((text for text in readers if "=" not in text), "folder")
    unknown = sorted(set(named) - set(folders))
    if unknown or len(folders) < len(data):
        what = f"--reader names {', '.join(unknown)}" if unknown else "--data gives a name twice"
        raise UsageError(what, expected=f"names of data sets: {', '.join(folders) or 'none was given'}")
    sources = {
        role: {"folder": str(Path(folder).absolute()), "reader": named.get(role, common)}
        for role, folder in folders.items()
    }
    return StudyConfig.parse({"study": name, "scale": scale, "seeds": seeds, "data": sources})


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"cannot read {option} '{text}'", expected=f"{option} NAME=VALUE")
    return name, value


def _chosen(out: Path) -> dict[str, str]:
    """The paper's rule on the scores that were just written."""
    from parfocal.studies import output
    from parfocal.studies.architectures import choose

    choice = choose(output.read_scores(out))
    depth, width, increment = choice.chosen.split("/")
    settings = f"--set model.depth={depth} --set model.width={width} --set model.increment={increment}"
    return {"architecture": choice.chosen, "sentence": choice.sentence, "settings": settings}


def _table(table: Table) -> str:
    from parfocal.studies import output

    return _grid(table.title, output.heads(table), output.cells(table))


def _grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as wide as it needs, in the terminal's colours where there are any."""
    import io
    import sys

    from rich.console import Console
    from rich.table import Table as Grid

    text = io.StringIO()
    grid = Grid(title=title or None, title_justify="left", title_style="bold")
    for place, head in enumerate(heads):
        grid.add_column(head, justify="right" if place and title else "left", style="dim" if head == "paper" else "")
    for row in rows:
        grid.add_row(*row)
    Console(file=text, width=160 if not sys.stdout.isatty() else None, force_terminal=sys.stdout.isatty()).print(grid)
    return text.getvalue()
