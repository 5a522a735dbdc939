"""`parfocal monitor retry | abandon`: what a person may do with a retrain that the monitor has decided on."""

from __future__ import annotations

from urllib.parse import quote

import click

from parfocal.cli.asking import ask, signed


@click.command()
@click.argument("key")
@signed
def retry(key: str, by: str, reason: str, url: str) -> None:
    """Start the retrain KEY once more, which has failed or was abandoned.

    It goes on under its own key: what it has done is not done again. One that still runs at Kubeflow is followed again.

    \b
        parfocal monitor retry fundus-B-v1-3f1c9a20d7e2 --by Ada --reason "the pipeline is uploaded now"
    """
    _act(key, "retry", by, reason, url)
    click.echo(f"{key} is started again")


@click.command()
@click.argument("key")
@signed
def abandon(key: str, by: str, reason: str, url: str) -> None:
    """Follow the retrain KEY no longer, so that others may start. What runs at Kubeflow is ended there, not here.

    \b
        parfocal monitor abandon fundus-B-v1-3f1c9a20d7e2 --by Ada --reason "stuck since Monday: no GPU"
    """
    _act(key, "abandon", by, reason, url)
    click.echo(f"{key} is followed no longer; what runs at Kubeflow goes on until somebody ends it there")


COMMANDS = (retry, abandon)


def _act(key: str, what: str, by: str, reason: str, url: str) -> None:
    ask("POST", url, f"/runs/{quote(key, safe='')}/{what}", {"by": by, "reason": reason})
