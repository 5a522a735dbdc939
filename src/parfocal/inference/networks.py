"""The networks of a bundle: loaded once each, and asked for probabilities and features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle
from parfocal.core.bundle import Bundle, OwnNetwork, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.inference.agreement import Probabilities
from parfocal.inference.choice import choose
from parfocal.inference.runtimes import opened


@dataclass(frozen=True, eq=False)
class Networks:
    """Who answers.

    Attributes:
        shared: by structure; structures that share one name the same.
        runtimes: name of the runtime that executes each structure.
        own: by structure and instrument, where one instrument has a network of its own.
    """

    shared: Mapping[str, Probabilities]
    runtimes: Mapping[str, str]
    own: Mapping[tuple[str, str], Probabilities] = field(default_factory=dict)

    def of(self, structure: str, instrument: str) -> Probabilities:
        """The instrument's own network, or the one that answers for all others."""
        return self.own.get((structure, instrument), self.shared[structure])

    def each(self) -> Iterator[tuple[str, Probabilities]]:
        """Every network once, with a structure that it answers for."""
        named = [*self.shared.items(), *((name, one) for (name, _), one in self.own.items())]
        yield from {id(one): (name, one) for name, one in named}.values()


def load(folder: Path, spec: Bundle, runtime: str) -> Networks:
    """Load the networks of a bundle.

    Args:
        folder, spec: the bundle.
        runtime: member of the family `runtimes`; ``auto`` is what fits this machine (`choice.choose`).

    Raises:
        DataContractError: a file cannot be loaded.
        UsageError: there is no such runtime, a structure was not exported for it, or a precision is named that this
            processor or an export lacks.
    """
    loaded: dict[tuple[str, str], Probabilities] = {}

    def network(name: str, model: StructureModel | OwnNetwork) -> Probabilities:
        place = model.folder, choose(name, model.runtimes, runtime)
        if place not in loaded:
            loaded[place] = opened(place[1], folder / model.folder)
        return loaded[place]

    return Networks(
        shared={name: network(name, model) for name, model in spec.structures.items()},
        runtimes={name: choose(name, model.runtimes, runtime) for name, model in spec.structures.items()},
        own={
            (name, instrument): network(name, own)
            for name, model in spec.structures.items()
            for instrument, own in model.by_instrument.items()
        },
    )


def refuse_unfit(spec: Bundle) -> None:
    """A cascade needs networks that answer without clicks, outermost first.

    Raises:
        UsageError: a network answers clicks.
        DataContractError: a structure is looked for where nothing has been drawn yet.
    """
    earlier: set[str] = set()
    for name, model in spec.structures.items():
        if model.objective == "interact":
            raise UsageError(
                f"the {name} network answers clicks, and nobody clicks here",
                where=bundle.BUNDLE,
                next="parfocal segment IMAGE --clicks 'ROW,COL' --model BUNDLE",
            )
        if model.inside is not None and model.inside not in earlier:
            raise DataContractError(
                f"{name} is looked for inside {model.inside}, which does not come before it",
                where=bundle.BUNDLE,
                expected=f"a network for {model.inside}",
                next=f"train on data with masks of {model.inside}",
            )
        if model.slices and model.inside is not None:
            raise DataContractError(
                f"{name} is looked for inside {model.inside}, in another box on every slice, by a network that "
                f"looks at {model.slices} slices",
                where=bundle.BUNDLE,
                expected="such networks for outermost structures alone",
            )
        earlier.add(name)


def described(network: Probabilities, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities and pooled features; a network in memory may be any callable and then has none."""
    own = getattr(network, "described", None)
    if own is None:
        return network(batch), np.zeros((len(batch), 0), np.float32)
    found: tuple[NDArray[np.float32], NDArray[np.float32]] = own(batch)
    return found
