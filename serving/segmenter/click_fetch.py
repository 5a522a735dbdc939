"""Fetch the bundle under an alias of the task's registry, and say where it is: a process of its own.

python -m parfocal_serving.segmenter.click_fetch ALIAS      {"folder": ..., "version": ...}
"""

from __future__ import annotations

import json
import sys

from parfocal.adapters import connect
from parfocal.core.errors import ParfocalError

FOLDER = "clicks"
"""Beside the champion's bundles, not among them: the follower keeps only a few of those."""


def main(alias: str) -> int:
    """Print where the bundle is, or on stderr why it is not."""
    platform = connect()
    settings = platform.settings
    try:
        version = platform.models.get(settings.task, alias)  # once: the alias may move meanwhile
        name = version.version if version else alias
        folder = platform.models.fetch(settings.task, name, settings.serving / FOLDER)
    except ParfocalError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return error.exit_code
    found = {"folder": str(folder.resolve()), "version": version.version if version else ""}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
