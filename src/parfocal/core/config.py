"""Configuration: frozen pydantic models, one YAML file a run, dotted overrides, a canonical form and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema

from parfocal.core.errors import UsageError
from parfocal.core.registry import Family


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


class MemberConfig(Config):
    """A section that names a member of a family and holds that member's own settings beside its name.

    A member has a class `Settings`; its defaults are filled in, and what it does not know is refused.
    """

    model_config = ConfigDict(extra="allow")

    family: ClassVar[Family]
    plain: ClassVar[frozenset[str]] = frozenset()
    """Members that are not loaded when they are named alone: the defaults of sections that every run has."""

    name: str

    @property
    def settings(self) -> Config:
        """The named member's settings."""
        settings: Config = self.family.load(self.name).Settings.model_validate(self.model_extra or {})
        return settings

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        name = str(values.get("name", cls.model_fields["name"].default))
        own = {key: value for key, value in values.items() if key != "name"}
        if name in cls.plain and not own:
            return {"name": name}
        try:
            settings: Config = cls.family.load(name).Settings.model_validate(own)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise ValueError(f"{name}: " + "; ".join(lines)) from None
        return {"name": name, **settings.model_dump()}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Shows the settings of every member; each says in its description whose it is."""
        document = handler.resolve_ref_schema(handler(schema))
        for name in cls.family:
            own = inlined(cls.family.load(name).Settings.model_json_schema())
            for key, field in own.get("properties", {}).items():
                document["properties"][key] = field | {"description": f"{name}: {field.get('description', '')}"}
        return document


def inlined(document: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema with what its `$ref`s name put in their places, so that a part of it can stand elsewhere."""
    known = document.get("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, Mapping):
            named = str(part.get("$ref", "")).removeprefix("#/$defs/")
            whole = {
                **known.get(named, {}),
                **{key: value for key, value in part.items() if key not in {"$ref", "$defs"}},
            }
            return {key: put(value) for key, value in whole.items()}
        return [put(one) for one in part] if isinstance(part, list) else part

    found: dict[str, Any] = put(document)
    return found


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
