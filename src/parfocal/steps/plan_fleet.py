"""What several instruments are to be taught: one piece of work an instrument."""

from __future__ import annotations

from collections.abc import Mapping

from parfocal.core.errors import UsageError
from parfocal.steps.config import RunConfig


def run(experiences: Mapping[str, str], config: RunConfig, *, key: str) -> list[dict[str, str]]:
    """The work in the order of the instruments' names, so that the same call always gives the same.

    All values are text: a loop of Kubeflow's hands numbers on as floats.

    Args:
        experiences: instrument to the address of its labelled images.
        key: of the whole; each piece has its own, made of it.

    Returns:
        A piece each: ``config`` (canonical JSON, with ``data.instrument``), ``experience_uri``, ``key``.

    Raises:
        UsageError: there is no experience, or an instrument or an address is empty.
    """
    if not experiences or not all(name.strip() and str(uri).strip() for name, uri in experiences.items()):
        raise UsageError("no experiences", where="experiences", expected='{"instrument": "address", ...}')
    pieces = []
    for name, uri in sorted(experiences.items()):
        own = config.model_copy(update={"data": config.data.model_copy(update={"instrument": name})})
        pieces.append({"config": own.canonical_json(), "experience_uri": uri, "key": f"{key}-{name}"})
    return pieces
