"""Commands that a person may copy from the console."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from shlex import quote


def program() -> str:
    """This program as a person would type it: the one beside the running Python."""
    beside = Path(sys.executable).with_name("parfocal")
    return quote(str(beside)) if beside.is_file() else "parfocal"


def approval(out: Path, outputs: Mapping[str, str], key: str) -> str:
    """Takes an inconclusive decision upon oneself; `outputs` of the pipeline and `key` of its run."""
    if (out / "state" / "runs" / key / "request.json").is_file():  # the monitor has started it
        return _lines(f"{_state(out)} {program()} pipeline approve {quote(key)}", "--by 'YOUR NAME' --reason 'WHY'")
    return _lines(
        f"{_state(out)} {program()} promote {quote(outputs['evaluation'])}",
        f"--challenger {quote(outputs['bundle'])} --out {quote(str(out / 'approved'))}",
        f"--key {quote(key)} --config {quote(str(out / 'run.json'))}",
        "--approve 'YOUR NAME' --reason 'WHY'",
    )


def retrain(out: Path, arguments: Mapping[str, str], instrument: str) -> str:
    """Runs the pipeline `continual` with these arguments on a demo's registry."""
    return _lines(
        f"{_state(out)} {program()} pipeline run continual",
        f"--experience {quote(arguments['experience_uri'])} --champion {quote(arguments['champion_uri'])}",
        f"--config {quote(str(out / 'run.json'))} --set {quote(f'data.instrument={dumps(instrument)}')}",
        f"--key {quote(arguments['idempotency_key'])} --root {quote(str(out / 'pipelines'))}",
    )


def history(out: Path) -> str:
    """Shows what was promoted."""
    return f"{_state(out)} {program()} registry history"


def _state(out: Path) -> str:
    return f"PARFOCAL_STATE={quote(str(out / 'state'))}"


def _lines(*parts: str) -> str:
    return " \\\n    ".join(parts)
