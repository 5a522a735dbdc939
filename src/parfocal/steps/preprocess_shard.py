"""One part of a source looked at, in a pod of its own: a folder from which `gather` makes the dataset."""

from __future__ import annotations

from pathlib import Path

from parfocal.core import manifest
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter
from parfocal.preprocessing.sharding import Shard
from parfocal.steps import locating, preprocess_look, sharded
from parfocal.steps.config import RunConfig


def run(
    source: Path, out: Path, config: RunConfig, *, shard: str, champion: Path | None, reporter: Reporter
) -> Manifest:
    """Look at the patients of one part of `source`, and write what was found to `out`.

    Nothing is refused for the sake of one file here: the parts together have to say all that is wrong.

    Args:
        source: all of it, what `config.data.reader` reads.
        out: the shard; it must not exist.
        config: as for `preprocess`.
        shard: which part, such as ``2/8``.
        champion: as for `preprocess`, the same for all parts.
        reporter: hears the progress.

    Raises:
        DataContractError: the source is none for this reader, or the champion's datasets or recipe do not fit.
        UsageError: there is no such part, `out` is there already, or what `preprocess` says of its settings.
    """
    part = Shard.parse(shard)
    preprocess_look.reader(config)
    asked, config = config, locating.named(config)
    history = preprocess_look.history(champion, config)
    parents = [*history.parents]
    with manifest.new_folder(
        out, sharded.KIND, parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        locator, origins = locating.into_dataset(config.recipe, scratch, asked, champion)
        parents += origins
        looked = preprocess_look.look(Path(source), scratch, config, history, reporter, locator, part)
        sharded.write(scratch, looked, part, config, history)
    left = len(looked.broken) + len(looked.known)
    reporter.note(f"shard {part} of {looked.instrument}: {len(looked.sound)} of {looked.cases} cases, {left} left out")
    return manifest.read(out)
