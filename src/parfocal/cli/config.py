"""`parfocal config`: the settings in force, and what each key means."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml

from parfocal.cli.console import Options, common


@click.group()
def config() -> None:
    """Show settings and explain every key."""


@config.command()
@common
def show(options: Options) -> None:
    """Print the settings in force: defaults, then --config, then --set. The output is itself a configuration file."""
    values = options.config()
    if options.as_json:
        click.echo(values.canonical_json())
    else:
        click.echo(yaml.safe_dump(values.model_dump(mode="json"), sort_keys=False).rstrip())


@config.command()
@click.option("--json", "as_json", is_flag=True, help="JSON Schema, for editors.")
def schema(as_json: bool) -> None:
    """Print every key with its default and meaning."""
    from parfocal.steps.config import RunConfig

    document = RunConfig.model_json_schema()
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    for key, default, text in _rows(document, document, ""):
        click.echo(f"{key} = {json.dumps(default)}\n    {text}" if text else f"{key} = {json.dumps(default)}")


def _rows(document: dict[str, Any], node: dict[str, Any], prefix: str) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    for name, field in node.get("properties", {}).items():
        target = field
        if "$ref" in field:
            target = document["$defs"][field["$ref"].rsplit("/", 1)[1]]
        if "properties" in target:
            rows += _rows(document, target, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field.get("default"), field.get("description", "")))
    return rows
