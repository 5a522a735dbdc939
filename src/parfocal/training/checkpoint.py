"""Checkpoints that a kill, a damaged file or a full disk cannot turn into a wrong model. No pickle.

folder/
  step-00000120.safetensors   tensors: <network>/..., <network>/optimizer/..., best/...
  step-00000120.json          written after it: its SHA-256, and everything that is no tensor
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as decode
from safetensors.torch import save as encode
from torch import nn
from torch.optim import Optimizer

from parfocal.core import manifest
from parfocal.core.errors import OutsideServiceError

KEPT = 2
"""How many checkpoints stay: the newest, and one to fall back to."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read. `meta` is JSON, `tensors` are on the CPU."""

    step: int
    meta: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def save(folder: Path, step: int, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint so that it is whole or not there, then remove all but the newest `KEPT`.

    Raises:
        OutsideServiceError: it cannot be written (the disk is full, say); earlier checkpoints are unharmed.
    """
    payload = encode({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    file = _file(folder, step)
    entry = {"step": step, "sha256": hashlib.sha256(payload).hexdigest(), "meta": meta}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write_atomic(file, payload)
        manifest.write_atomic(file.with_suffix(".json"), json.dumps(entry, sort_keys=True) + "\n")
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise OutsideServiceError(
            f"the disk is full: the checkpoint of step {step} could not be written"
            if full
            else f"the checkpoint of step {step} could not be written: {error.strerror}",
            where=folder,
            expected=f"room for {len(payload) / 1e6:.1f} MB",
            next="free some space and give the same command again; it goes on from the last checkpoint",
        ) from error
    _prune(folder, newest=step)


def latest(folder: Path, note: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that is whole; each one that is not is passed over with a note."""
    for entry in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            values = json.loads(entry.read_text())
            payload = entry.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(payload).hexdigest() != values["sha256"]:
                raise ValueError("its checksum does not match")
            return Checkpoint(int(values["step"]), values["meta"], decode(payload))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            note(f"checkpoint {entry.stem} is damaged ({error}); an earlier one is used, or a fresh start is made")
    return None


def clear(folder: Path) -> None:
    """Remove all checkpoints, once what they led to is safe elsewhere."""
    if folder.is_dir():
        _prune(folder, newest=-1)


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state by parameter name: ``optimizer/<parameter>/<key>``."""
    return {
        f"optimizer/{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Undo `optimizer_tensors`. State takes its parameter's layout: the fused kernels walk both as flat memory."""
    for name, parameter in model.named_parameters():
        state = under(f"optimizer/{name}/", tensors)
        if not state:
            continue  # frozen, so never stepped
        optimizer.state[parameter] = {
            key: torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            if value.shape == parameter.shape and key != "step"
            else value.clone()
            for key, value in state.items()
        }


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.safetensors"


def _prune(folder: Path, newest: int) -> None:
    """Keep the last `KEPT` checkpoints up to step `newest`; later ones were passed over as damaged."""
    good = [entry for entry in sorted(folder.glob("step-*.json")) if int(entry.stem.removeprefix("step-")) <= newest]
    kept = {name for entry in good[-KEPT:] for name in (entry.name, entry.with_suffix(".safetensors").name)}
    # Files without an entry, and temporary ones, were half written when a process was killed.
    for file in [*folder.glob("step-*"), *folder.glob(".step-*.tmp")]:
        if file.name not in kept:
            file.unlink(missing_ok=True)
