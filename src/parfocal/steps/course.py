"""What the networks of one retrain share: the champion, the datasets, whose pictures may be seen, how one is taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from parfocal.core.bundle import Bundle, StructureModel
from parfocal.memory.buffer import Memory
from parfocal.memory.rows import concatenate
from parfocal.preprocessing.shards import Arrays, read_dataset
from parfocal.steps import unlabelled
from parfocal.steps.learning import Learner, patients_of
from parfocal.steps.lesson import Learned, Lesson, Logits, keep_apart, learn, source_for
from parfocal.strategies import Strategy


@dataclass(frozen=True)
class Rehearsal:
    """The past of one network.

    Attributes:
        exemplars: by instrument.
        datasets: gives all training pictures of the champion's datasets by instrument.
        logits: of the exemplars, where they are kept.
    """

    exemplars: Mapping[str, Arrays]
    datasets: Callable[[], Mapping[str, Arrays]]
    logits: Logits = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """What the networks of one retrain share."""

    dataset: Path
    champion: Path
    before: Bundle
    folders: Sequence[Path]
    strategy: Strategy
    learner: Learner

    @cached_property
    def instrument(self) -> str:
        return read_dataset(self.dataset).instrument

    @cached_property
    def patients(self) -> dict[str, dict[str, str]]:
        """By instrument and case."""
        return patients_of(self.folders)

    @cached_property
    def unlabelled(self) -> dict[str, Arrays]:
        """New frames that nobody labelled, by structure, for a strategy that asks for them."""
        return unlabelled.frames(self.dataset, self.champion) if "unlabelled" in self.strategy.needs else {}

    def permitted(self, found: Mapping[str, Arrays], memory: Memory) -> dict[str, Arrays]:
        """Training pictures by instrument without those of purged patients."""
        kept = {name: memory.permitted(arrays, self.patients[name]) for name, arrays in found.items()}
        return {name: arrays for name, arrays in kept.items() if len(arrays)}

    def pictures(self, structure: str, labels: Arrays | None, memory: Memory) -> Arrays | None:
        """The new pictures to learn a structure from."""
        plain = {self.instrument: self.unlabelled[structure]} if structure in self.unlabelled else {}
        parts = [part for part in (labels, *self.permitted(plain, memory).values()) if part is not None]
        return concatenate(parts) if parts else None

    def teach(
        self,
        name: str,
        new: Arrays,
        known: StructureModel | None,
        memory: Memory,
        rehearsal: Rehearsal,
        held_out: Mapping[str, Arrays],
    ) -> tuple[Learned, Path | None]:
        """Train one network; it, and the folder of the champion's that it started from."""
        source = source_for(known, self.instrument, self.champion) if known else None
        learned = [one.instrument for one in self.before.datasets]
        lesson = Lesson(
            name=name,
            instrument=self.instrument,
            new=new,
            held_out=held_out,
            source=source,
            # the last that it had labels of
            newest=next((one for one in reversed(learned) if one in rehearsal.exemplars), learned[-1]),
            past=rehearsal.exemplars,
            datasets=rehearsal.datasets,
            logits=rehearsal.logits,
            carried=memory.carried.get(name, {}),
        )
        return learn(lesson, self.strategy, self.learner), source

    def exported(self, made: StructureModel, known: StructureModel | None, scratch: Path) -> StructureModel:
        """What bundle.json says of a structure, with the networks that earlier instruments keep."""
        if known is None or not self.strategy.separate:
            return made
        others = [name for name in self.before.instruments if name != self.instrument]
        return made.model_copy(update={"by_instrument": keep_apart(known, others, self.champion, scratch)})
