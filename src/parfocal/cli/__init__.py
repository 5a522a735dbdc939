"""The command line: verbs only, in the order in which data flows.

Importing this module loads neither torch nor MLflow nor Kubeflow; each verb imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from keyword import iskeyword

import click

from parfocal import __version__
from parfocal.core.errors import ParfocalError

VERBS = {
    "preprocess": ("parfocal.cli.steps", "Read an instrument's labelled images, split them, write a dataset."),
    "gather": ("parfocal.cli.steps", "Make one dataset of the parts that `preprocess --shard` left."),
    "pretrain": ("parfocal.cli.steps", "Pretrain an encoder on images alone, or on centre points."),
    "train": ("parfocal.cli.steps", "Train a first model bundle from datasets."),
    "retrain": ("parfocal.cli.steps", "Teach a champion a dataset without losing what it knew."),
    "evaluate": ("parfocal.cli.judging", "Score a bundle beside its rivals on every frozen test case."),
    "promote": ("parfocal.cli.judging", "Let the gate decide; register the model and move the alias."),
    "segment": ("parfocal.cli.segment", "Draw the masks of pictures and volumes; indicators beside them."),
    "export": ("parfocal.cli.exchange", "Write labels for other programs: COCO, NIfTI, PNG."),
    "import": ("parfocal.cli.exchange", "Take labels over from Label Studio and MONAI Label."),
    "study": ("parfocal.cli.study", "Repeat the papers' studies: their tables, ours beside them."),
    "serve": ("parfocal.cli.platform", "Answer images at an endpoint with the champion; swap when it moves."),
    "monitor": ("parfocal.cli.platform", "Watch for drift, take labels, start retrains; with a page."),
    "up": ("parfocal.cli.platform", "Start the whole platform on this machine."),
    "down": ("parfocal.cli.platform", "Stop it."),
    "status": ("parfocal.cli.platform", "What runs, where, and whether an alarm stands."),
    "token": ("parfocal.cli.tokens", "Say who may use the endpoint and the monitor."),
    "pipeline": ("parfocal.cli.pipeline", "List, compile, run and submit the Kubeflow pipelines."),
    "gate": ("parfocal.cli.gate", "What the gate asks, what it can see, and how often it errs."),
    "registry": ("parfocal.cli.registry", "Which model answered whom, and why it was promoted; the way back."),
    "memory": ("parfocal.cli.memory", "What is kept of patients for rehearsal; take it out again."),
    "config": ("parfocal.cli.config", "Show settings and explain every key."),
    "drift": ("parfocal.cli.drift", "What a declared run length to a false alarm really gives."),
    "doctor": ("parfocal.cli.doctor", "Look whether this machine and its settings will do."),
    "demo": ("parfocal.cli.demo", "The whole loop, start to end, on this machine."),
}


class Verbs(click.Group):
    """Finds a verb's module only when the verb is used, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = getattr(import_module(VERBS[cmd_name][0]), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such verb '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs, in the order in which data flows"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="parfocal")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def parfocal(debug: bool) -> None:
    """Keep a segmentation model in focus as instruments change.

    \b
    A first model:        parfocal preprocess PHOTOS --instrument A --out runs/a
                          parfocal train runs/a --out runs/first
                          parfocal evaluate runs/first --out runs/judged
                          parfocal promote runs/judged --challenger runs/first --out runs/promoted
    A new instrument:     parfocal preprocess NEW --instrument B --champion champion --out runs/b
                          parfocal retrain runs/b --champion champion --out runs/next
    All of it, as the pipeline that Kubeflow runs:
                          parfocal pipeline run initial --experience PHOTOS --set data.instrument=A
    The endpoint, the drift monitor and the registry, on this machine:
                          parfocal up --segmenter-port 3000

    Exit codes: 0 done, 2 usage or configuration, 3 data that breaks the contract, 4 the gate did not say yes,
    5 drift found, 6 an outside service failed (try again), 130 interrupted,
    143 told to end (SIGTERM; a training keeps its step), 1 a bug.
    """


def main() -> None:
    """Run the command line and turn errors into messages and exit codes."""
    debug = "--debug" in sys.argv
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what is wrong with a picture is said in our words
    try:
        # The flag is taken from any place, not only before the verb.
        code = parfocal.main([word for word in sys.argv[1:] if word != "--debug"], "parfocal", standalone_mode=False)
        if isinstance(code, int):  # `--help`, `--version` and `ctx.exit` come back as a number in this mode
            sys.exit(code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "interrupted; finished work is kept, and the same command goes on from the last checkpoint", err=True
        )
        sys.exit(130)
    except ParfocalError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        click.echo(
            f"error: {error.strerror or error}\n  where: {error.filename or 'unknown file'}{_advice(error)}", err=True
        )
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"error: this is a bug: {type(error).__name__}: {error}\n  next: run it again with --debug", err=True
        )
        sys.exit(1)


def _advice(error: OSError) -> str:
    import errno

    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return "\n  next: the disk is full; free space and run the same command again: what was finished is kept"
    return "\n  next: run it again with --debug for the traceback"
