"""Configuration: frozen pydantic models, one YAML file a run, dotted overrides, a canonical form and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from parfocal.core.errors import UsageError


class Config(BaseModel):
    """Base of every settings class: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: object = "") -> Self:
        """Validate a mapping; every complaint names its key and what was expected."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc'])) or cls.__name__}: {e['msg']}" for e in error.errors()]
            raise UsageError(
                "the configuration is not valid:\n    " + "\n    ".join(lines),
                where=where,
                next="`parfocal config schema` prints every key with its unit and default",
            ) from None

    @classmethod
    def load(cls, file: Path | None = None, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML file (or start from defaults), then apply ``key.path=value`` overrides."""
        values: dict[str, Any] = {}
        if file is not None:
            try:
                values = yaml.safe_load(file.read_text()) or {}
            except (OSError, yaml.YAMLError) as error:
                raise UsageError(f"cannot read the configuration: {error}", where=file) from None
            if not isinstance(values, dict):
                raise UsageError("the configuration is not a mapping", where=file, expected="key: value lines")
        for override in overrides:
            _apply(values, override)
        return cls.parse(values, where=file or "defaults and --set")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the canonical JSON that a Kubeflow component receives; an empty string means defaults."""
        try:
            values = json.loads(text or "{}")
        except json.JSONDecodeError as error:
            raise UsageError(f"the config argument is not JSON: {error}", expected="one JSON object") from None
        return cls.parse(values, where="config argument")

    def canonical_json(self) -> str:
        """Sorted keys, no spaces: equal settings give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    def flat(self) -> dict[str, str | int | float | bool]:
        """Dotted keys to leaf values, the form in which MLflow gets parameters."""
        return dict(_flatten("", self.model_dump(mode="json")))


def _flatten(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list):
        yield prefix, json.dumps(value)
    else:
        yield prefix, "" if value is None else value


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UsageError(f"cannot read the override '{override}'", expected="key.path=value, such as train.steps=200")
    *parents, last = path.split(".")
    target = values
    for parent in parents:
        inner = target.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UsageError(f"'{parent}' in the override '{override}' is not a section")
        target = inner
    target[last] = yaml.safe_load(text) if text else ""
