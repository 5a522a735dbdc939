"""What `parfocal doctor` looks at, each check on its own, so that one that fails hides no other."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from textwrap import shorten
from typing import Literal

from parfocal.adapters.settings import Settings
from parfocal.core.errors import OutsideServiceError, ParfocalError

Level = Literal["ok", "warn", "fail"]
GIGABYTE = 1e9
LITTLE, LEAST = 10 * GIGABYTE, 2 * GIGABYTE
"""Free bytes: below the first a few retrains fill the disk, below the second not even one fits."""
OPTIONAL = {
    "prometheus": "alerts are raised by the monitor itself; `make system` installs it",
    "prometheus-alertmanager": "alarms do not travel through Alertmanager; `make system` installs it",
    "promtool": "alert rules cannot be tested; it comes with Debian's prometheus",
    "docker": "images cannot be built here",
}
PROBES = 3
"""Pictures on which the champion is tried."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found. `outside`: the fault is a service's, not this machine's."""

    name: str
    level: Level
    says: str
    next: str = ""
    outside: bool = False


def every(settings: Settings) -> Iterator[Check]:
    """All checks, the quick ones first; each is made when it is asked for."""
    checks: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _python, _packages, _torch, _processor, _state, _ports, _programs, _registry, _ledger, _learned, _champion,
    )  # fmt: skip
    for look in checks:
        name = look.__name__.removeprefix("_")
        try:
            yield from look(settings)
        except ParfocalError as error:
            said = shorten(f"{error.what} ({error.where})" if error.where else error.what, 200)
            yield Check(name, "fail", said, error.next, isinstance(error, OutsideServiceError))
        except Exception as error:  # whatever is broken here, the other checks are wanted all the more
            yield Check(name, "fail", f"{type(error).__name__}: {error}", "install parfocal again, or report this")


def _python(_: Settings) -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()}, {sys.executable}")


def _packages(_: Settings) -> Iterator[Check]:
    """What this distribution asks for, the extra `platform` too, and the tested pins where they are at hand."""
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in metadata.requires("parfocal") or ()]
    wanted = [r for r in asked if r.marker is None or r.marker.evaluate({"extra": "platform"})]
    found = {requirement.name: _version(requirement.name) for requirement in wanted}
    missing = [name for name, version in found.items() if version is None]
    wrong = [
        f"{r.name} {found[r.name]} (wants {r.specifier})"
        for r in wanted
        if (version := found[r.name]) is not None and not r.specifier.contains(version, prereleases=True)
    ]
    if missing or wrong:
        said = "; ".join(filter(None, (f"missing: {', '.join(missing)}" if missing else "", *wrong)))
        yield Check("packages", "fail", said, "pip install -c constraints.txt 'parfocal[platform]'")
        return
    pins = _pins()
    other = [f"{name} {v} (tested {pins[name]})" for name, v in found.items() if v and pins.get(name, v) != v]
    if other:
        yield Check("packages", "warn", ", ".join(other), "pip install -c constraints.txt 'parfocal[platform]'")
    else:
        yield Check("packages", "ok", f"{len(found)} as asked for{', as tested' if pins else ''}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _pins() -> dict[str, str]:
    """constraints.txt of a checkout; empty for an installed wheel."""
    import parfocal

    file = Path(parfocal.__file__).parents[2] / "constraints.txt"
    if not file.is_file():
        return {}
    lines = [line.split("==") for line in file.read_text().splitlines() if "==" in line and not line.startswith("#")]
    return {name.strip(): version.strip().split("+")[0] for name, version in lines}


def _torch(_: Settings) -> Iterator[Check]:
    installed = metadata.version("torch")
    import torch

    if torch.cuda.is_available():
        yield Check("torch", "ok", f"{installed} with {torch.cuda.get_device_name(0)}")
    elif installed.endswith("+cpu") or torch.version.cuda is None:
        yield Check("torch", "ok", f"{installed}, CPU build")
    else:
        said = f"{installed} is the CUDA build, several gigabytes larger, and there is no GPU"
        yield Check("torch", "warn", said, "pip install the version of constraints.txt from PyTorch's CPU index")


def _processor(_: Settings) -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    has = [name for flag, name in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("amx_bf16", "AMX")) if flag in flags]
    said = f"{cores} cores, {', '.join(has) or 'no vector extensions known'}"
    if "amx_bf16" in flags or "avx512_bf16" in flags:
        yield Check("processor", "ok", said)
    else:
        yield Check("processor", "warn", said, "training takes several times longer without AMX or a GPU; all works")


def _state(settings: Settings) -> Iterator[Check]:
    state = settings.state.resolve()
    place = next(folder for folder in (state, *state.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        yield Check("state", "fail", f"{place} cannot be written: {error.strerror}", "set PARFOCAL_STATE")
        return
    free = shutil.disk_usage(place).free
    said = f"{state}, {free / GIGABYTE:.0f} GB free"
    if free < LEAST:
        yield Check("state", "fail", said, "free some space, or set PARFOCAL_STATE to another disk")
    elif free < LITTLE:
        yield Check("state", "warn", said, "a few retrains will fill it")
    else:
        yield Check("state", "ok", said)


def _ports(_: Settings) -> Iterator[Check]:
    from parfocal.adapters.processes import free_port

    yield Check("ports", "ok", f"free ones can be had, such as {free_port()}")


def _programs(_: Settings) -> Iterator[Check]:
    for name, lost in OPTIONAL.items():
        found = shutil.which(name)
        yield Check(name, "ok", found) if found else Check(name, "warn", "not installed", lost)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser:
        yield Check("chromium", "ok", browser)
    else:
        yield Check("chromium", "warn", "not installed", "the pages cannot be tested in a browser")


def _registry(settings: Settings) -> Iterator[Check]:
    from parfocal.adapters.mlflow_client import without_password

    where = without_password(settings.mlflow_uri)
    if _untouched(settings.mlflow_uri):
        yield Check("registry", "ok", f"{where}, not made yet")
        return
    from parfocal.adapters import connect

    versions = connect(settings).models.versions(settings.task)
    yield Check("registry", "ok", f"{where}, {len(versions)} versions of {settings.task}")


def _ledger(settings: Settings) -> Iterator[Check]:
    if _untouched(settings.ledger_url):
        yield Check("ledger", "ok", "not made yet")
        return
    from parfocal.adapters import connect

    yield Check("ledger", "ok", f"{connect(settings).ledger.verify()} entries, chain unbroken")


def _learned(settings: Settings) -> Iterator[Check]:
    from parfocal.adapters import restored

    yield restored.check(settings, ledger=not _untouched(settings.ledger_url))


def _champion(settings: Settings) -> Iterator[Check]:
    """Fetch the champion and hold its export against its weights on this processor."""
    from parfocal.adapters import connect

    models = None if _untouched(settings.mlflow_uri) else connect(settings).models
    if models is None or models.get(settings.task, "champion") is None:
        yield Check(
            "champion", "warn", f"{settings.task} has none yet", "train and promote a model, or `parfocal demo`"
        )
        return
    with tempfile.TemporaryDirectory(prefix="parfocal-") as folder:
        bundle = models.fetch(settings.task, "champion", Path(folder))
        yield _agreeing(bundle)


def _agreeing(bundle: Path) -> Check:
    """Masks of the runtime that would be served here against those of the weights, on phantoms of the task."""
    import numpy as np

    from parfocal.core.bundle import parse
    from parfocal.inference import probe
    from parfocal.inference.agreement import AGREEMENT
    from parfocal.inference.predictor import Predictor

    if reason := parse(bundle).unserved:
        return Check("champion", "ok", f"not served by the segmenter: {reason}")
    served, weights = Predictor(bundle), Predictor(bundle, "pytorch")
    least: dict[str, float] = {}
    for number, instrument in product(range(PROBES), probe.instruments(served.bundle)):
        image = probe.picture(served.bundle, number)
        ours, theirs = served.predict(image, instrument).masks, weights.predict(image, instrument).masks
        for name, mask in ours.items():
            total = int(np.sum(mask)) + int(np.sum(theirs[name]))
            dice = 2 * int(np.sum(mask & theirs[name])) / total if total else 1.0
            least[name] = min(dice, least.get(name, 1.0))
    said = ", ".join(f"{name} {dice:.4f}" for name, dice in least.items())
    runtime = "+".join(dict.fromkeys(served.runtimes.values()))
    if min(least.values()) < AGREEMENT:
        advice = "serve with PARFOCAL_SEGMENTER_RUNTIME=pytorch here; the export was made for another processor"
        return Check("champion", "fail", f"on this processor {runtime} draws other masks: Dice {said}", advice)
    return Check("champion", "ok", f"{runtime} draws the masks of the weights: Dice {said}")


def _untouched(uri: str) -> bool:
    """Whether a SQLite file is not there yet: looking must not make it."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()
