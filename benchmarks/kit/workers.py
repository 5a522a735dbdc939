"""Entrants that wait for their turns in processes of their own, so that none changes what another runs in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Ask = Callable[..., Any]
"""Hands arguments to a worker's function and waits for its answer; both are what JSON can say."""


@contextmanager
def workers(script: str, names: Sequence[str]) -> Iterator[dict[str, Ask]]:
    """Start `script --serve NAME` for each name, all at once; end them at the end."""
    started = {name: _start(script, name) for name in names}
    try:
        yield {name: _asking(process, name) for name, process in started.items()}
    finally:
        for process in started.values():
            process.communicate()  # closes its input, at whose end it ends


def serve(answer: Callable[..., Any]) -> None:
    """Be a worker: answer each line of the input, until there is no more."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    for line in sys.stdin:
        replies.write(json.dumps(answer(**json.loads(line))) + "\n")
        replies.flush()


def _start(script: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", script, "--serve", name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _asking(process: subprocess.Popen[str], name: str) -> Ask:
    def ask(**arguments: Any) -> Any:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            sys.exit(f"'{name}' ended without an answer; what it said is above")
        return json.loads(line)

    return ask
