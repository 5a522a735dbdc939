"""The training loop: every step a function of (weights, step), so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.core.protocols import CheckpointStore, Reporter, Run
from parfocal.memory.sampler import Sampler
from parfocal.objectives import MAIN, Batch, Objective
from parfocal.preprocessing.shards import Arrays
from parfocal.training import checkpoint as checkpoints
from parfocal.training import eviction, hardware, pace, resident
from parfocal.training.bookmark import Bookmark, was_resident
from parfocal.training.config import TrainConfig, learning_rate
from parfocal.training.feed import Feed
from parfocal.training.hardware import first_alone
from parfocal.training.normalization import Weights, weights_of
from parfocal.training.players import Players
from parfocal.training.state import Asked, FitResult, State, fingerprint
from parfocal.training.validation import score_by_instrument


def fit(
    model: nn.Module,
    sampler: Sampler,
    objective: Objective,
    validation: Mapping[str, Arrays],
    config: TrainConfig,
    *,
    checkpoint: Path | None,
    reporter: Reporter,
    run: Run,
    stage: str = "train",
    store: CheckpointStore | None = None,
) -> FitResult:
    """Train `model` in place and return the best weights seen.

    On one device, or on several under ``torchrun``: then each process takes its part of every batch, and gradients,
    batch norm and the reported loss are those of the whole batch, so that the result is one process's but for rounding,
    where nothing is drawn on the way: dropout, clicks and whatever else an objective draws differ by process, and with
    unlabelled pixels each process's mean counts the same. The first alone validates, reports and writes checkpoints.

    With `checkpoint`, a folder, a killed call given again with the same arguments goes on from the last checkpoint to
    bit-identical weights on the same hardware, thread count and number of processes. One that is told to end (SIGTERM)
    writes the checkpoint of the step it is in first. The folder is left as it is afterwards;
    `parfocal.training.checkpoint.clear` empties it.

    Args:
        model: the objective's main network; its weights are where training starts. Parameters that need no gradient
            stay as they are.
        sampler: gives the batches.
        objective: gives the loss of each player, and says which networks it needs beside `model`.
        validation: pictures by instrument; may be empty.
        config: settings; ``seconds`` is turned into steps at the start and kept in the checkpoint.
        checkpoint: folder for checkpoints, or None.
        reporter: hears each step, and each validation.
        run: gets the numbers of each validation as ``<stage>/<name>``.
        stage: name of this training, such as the structure.
        store: keeps the checkpoints beyond this machine; the caller brings them back before.

    Raises:
        UsageError: the checkpoint belongs to other settings, or training diverged.
        OutsideServiceError: a checkpoint cannot be written.
        SystemExit: it was told to end, with a checkpoint.
    """
    asked = Asked(model, sampler, objective, validation, config, reporter, run, stage, store)
    hardware.keep_heap()
    with hardware.repeatable():
        return _Training(hardware.launch(config.precision), asked, checkpoint).result()


class _Training:
    """One call of `fit`."""

    def __init__(self, fabric: Fabric, asked: Asked, folder: Path | None) -> None:
        config, note = asked.config, asked.reporter.note
        self.fabric, self.asked, self.config = fabric, asked, config
        self.precision = hardware.precision(config.precision, fabric.device)
        held = first_alone(fabric, lambda: resident.chosen(config.resident, asked.sampler, fabric.device, note))
        self.feed = Feed(asked.sampler, fabric, resident=held)
        identity = fingerprint(
            asked.model, asked.sampler, asked.validation, config,
            precision=self.precision, world=fabric.world_size, resident=held,
        )  # fmt: skip
        self.bookmark = Bookmark(folder, identity, config.resident == "auto", asked)
        self.eviction = eviction.Eviction(fabric, heeded=folder is not None)
        self.players = Players(fabric, asked.model, asked.objective, config)
        self.model = self.players.networks[MAIN]
        self.best: Weights = {}
        self.state = State(steps=config.steps)
        self.sums: dict[str, torch.Tensor] = {}

    def result(self) -> FitResult:
        """Resume or begin, train to the end, and give every process the first one's result."""
        if not self._resume():
            self._budget()
            self._save()
        with self.eviction.heard():
            self._train()
        return first_alone(
            self.fabric,
            lambda: FitResult(
                self.best or weights_of(self.model),
                tuple(self.state.history),
                self.state.done,
                self.state.seconds,
                self.state.best(),
                {name: weights_of(one) for name, one in self.players.networks.items() if name != MAIN},
            ),
        )

    def _train(self) -> None:
        started = saved = time.monotonic()
        state, first, before = self.state, self.state.done, self.state.seconds
        with closing(self.feed.batches(state.done, state.steps)) as batches:
            while state.done < state.steps and not self._stopped():
                self._step(state.done, *next(batches))
                state.done += 1
                state.loss_count += 1
                state.seconds = before + time.monotonic() - started
                if self.fabric.is_global_zero:
                    self.asked.reporter.progress(self.asked.stage, state.done, state.steps)
                if self._validates():
                    first_alone(self.fabric, self._validate)
                if self.eviction.asks(state.done):
                    self._leave()
                every = self.config.checkpoint_every
                if (every and state.done % every == 0) or time.monotonic() - saved >= self.config.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
        if state.done > first:
            self._save()

    def _leave(self) -> NoReturn:
        """End before it is done. Together: the launcher of several processes ends all when one has gone."""
        first_alone(self.fabric, self._save)
        if self.fabric.is_global_zero:
            self.asked.reporter.note(eviction.NOTE.format(self.asked.stage, self.state.done, self.state.steps))
        self.eviction.leave()

    def _step(self, step: int, images: torch.Tensor, masks: torch.Tensor, points: torch.Tensor) -> None:
        # Dropout, and whatever else a network draws, comes from PyTorch's generator: seeded by step, it has no past.
        seed = np.random.SeedSequence([self.config.seed, step, self.fabric.global_rank])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0]) >> 1)
        batch = Batch(images, masks, points, np.random.default_rng(seed.spawn(1)[0]))
        loss, parts = self.players.step(batch, self._rate(step))
        for name, value in ({"loss": loss} | {f"loss/{name}": part for name, part in parts.items()}).items():
            # Stays on the device: reading it would make a GPU wait for every step.
            self.sums[name] = self.sums.get(name, 0.0) + value.to(torch.float64)

    def _rate(self, step: int) -> float:
        return learning_rate(self.config, step, self.state.steps, self.state.scores())

    def _validates(self) -> bool:
        return self.state.done % self.config.validate_every == 0 or self.state.done == self.state.steps

    def _validate(self) -> None:
        """Measure, and keep the weights if they are the best so far. The first process alone."""
        state = self.state
        entry = {name: float(value) / state.loss_count for name, value in self.sums.items()}
        entry["learning_rate"] = self._rate(state.done - 1)
        if not math.isfinite(entry["loss"]):
            raise UsageError(
                f"training diverged: the loss before step {state.done} is {entry['loss']}",
                where=self.asked.stage,
                next="lower train.learning_rate, or set train.clip=1",
            )
        self.sums.clear()
        state.loss_count = 0
        scores = self._scores()
        entry |= {f"{self.asked.objective.score_name}/{name}": value for name, value in scores.items()}
        if scores:
            entry["score"] = float(np.mean(list(scores.values())))
            if not entry["score"] <= state.best():  # so stated, it holds for the first, where the best is nan
                self.best = weights_of(self.model)
        state.history.append({"step": state.done} | entry)
        self.asked.reporter.epoch(self.asked.stage, state.done, entry)
        self.asked.run.metrics({f"{self.asked.stage}/{name}": value for name, value in entry.items()}, step=state.done)

    def _scores(self) -> dict[str, float]:
        return score_by_instrument(
            self.asked.objective, self.players.networks, self.asked.validation,
            precision=self.precision, seed=self.config.seed,
        )  # fmt: skip

    def _stopped(self) -> bool:
        patience = self.config.patience
        if patience is None or not self._validates():
            return False
        return first_alone(self.fabric, lambda: self.state.validations_since_best() >= patience)

    def _budget(self) -> None:
        """Turn a wall-time budget into steps, and leave no trace of the steps that measured the pace."""
        seconds = self.config.seconds
        if seconds is None:
            return
        before = {name: value.clone() for name, value in self.players.tensors().items()}
        mine = self._pace()
        taken = first_alone(self.fabric, lambda: mine)
        self.players.forget()
        self.players.restore(before)
        self.sums.clear()
        self.state.steps = max(1, int(seconds / taken))
        if self.fabric.is_global_zero:
            told = f"{seconds:g} s are {self.state.steps} steps of {taken:.3f} s here"
            self.asked.reporter.note(f"{self.asked.stage}: {told}")

    def _pace(self) -> float:
        """Seconds a step takes, its share of a validation included."""

        def step(number: int, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
            self._step(number, *batch)
            float(self.sums["loss"])  # a GPU is waited for

        taken = pace.seconds_a_step(self.feed.batches(0, pace.STEPS), step)
        started = time.monotonic()
        first_alone(self.fabric, self._scores)
        return taken + (time.monotonic() - started) / self.config.validate_every

    def _save(self) -> None:
        if self.bookmark.folder is not None and self.fabric.is_global_zero:
            self.state.sums = {name: float(value) for name, value in self.sums.items()}
            best = {f"best/{name}": value for name, value in self.best.items()}
            self.bookmark.save(self.state, self.players.tensors() | best)

    def _resume(self) -> bool:
        """Take up the last checkpoint, read by the first process alone; False when there is none."""
        found = first_alone(self.fabric, self.bookmark.read)
        if found is None:
            return False
        self.feed.resident = was_resident(found)
        self.players.restore(found.tensors)
        self.best = checkpoints.under("best/", found.tensors)
        self.state = State(**found.meta["state"])
        self.sums = {
            name: torch.tensor(value, dtype=torch.float64, device=self.fabric.device)
            for name, value in self.state.sums.items()
        }
        return True
