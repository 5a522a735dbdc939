"""What a compiled pipeline says about itself: read from its YAML, without kfp."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from parfocal.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        name: as Kubeflow knows it, such as ``parfocal-continual``.
        title: for people; `description` likewise.
        inputs: argument to its description.
        digest: SHA-256 of the file, in hex.
        documents: the pipeline spec and, where there is one, the platform spec.
    """

    file: Path
    name: str
    title: str
    description: str
    inputs: Mapping[str, str]
    digest: str
    documents: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, file: Path) -> Compiled:
        """Read a compiled YAML.

        Raises:
            UsageError: the file is not there or is not a compiled pipeline.
        """
        try:
            text = Path(file).read_text()
            documents = tuple(yaml.safe_load_all(text))
            spec = documents[0]
            info, root = spec["pipelineInfo"], spec["root"]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError) as error:
            raise UsageError(
                f"this is not a compiled pipeline: {error}", where=file, next="`parfocal pipeline compile` writes one"
            ) from None
        parameters = root.get("inputDefinitions", {}).get("parameters", {})
        return cls(
            file=Path(file),
            name=info["name"],
            title=info.get("displayName", info["name"]),
            description=info.get("description", ""),
            inputs={name: " ".join(value.get("description", "").split()) for name, value in parameters.items()},
            digest=hashlib.sha256(text.encode()).hexdigest(),
            documents=documents,
        )

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, when they are exactly those of the pipeline and none but `config` is empty.

        What the pipeline wants as an object may be given as the text of one (JSON), a number likewise. A number that
        has a default may be left out, and is then left to the pipeline.

        Raises:
            UsageError: one is missing, empty, unknown, or no object or number where there should be one.
        """
        left = [name for name in self.inputs if name not in arguments and self._number_with_default(name)]
        missing = [name for name in self.inputs if not arguments.get(name) and name not in ("config", *left)]
        unknown = sorted(set(arguments) - set(self.inputs))
        if missing or unknown:
            said = "; ".join(filter(None, (_said("without", missing), _said("unknown", unknown))))
            raise UsageError(f"wrong arguments: {said}", where=self.name, expected=", ".join(self.inputs))
        return {name: self._typed(name, arguments.get(name, "")) for name in self.inputs if name not in left}

    def _typed(self, name: str, value: Any) -> Any:
        declared = self._declared(name)["parameterType"]
        if declared == "NUMBER_INTEGER":
            return self._whole(name, value)
        if declared != "STRUCT" or isinstance(value, dict):
            return value
        try:
            read = json.loads(value)
        except json.JSONDecodeError:
            read = None
        if not isinstance(read, dict):
            raise UsageError(f"'{name}' is not a JSON object", where=self.name, expected=self.inputs[name])
        return read

    def _whole(self, name: str, value: Any) -> int:
        try:
            return int(value)
        except ValueError:
            raise UsageError(
                f"'{name}' is not a whole number: {value}", where=self.name, expected=self.inputs[name]
            ) from None

    def _number_with_default(self, name: str) -> bool:
        declared = self._declared(name)
        return declared["parameterType"] == "NUMBER_INTEGER" and "defaultValue" in declared

    def _declared(self, name: str) -> dict[str, Any]:
        said: dict[str, Any] = self.documents[0]["root"]["inputDefinitions"]["parameters"][name]
        return said

    @property
    def version(self) -> str:
        """Of exactly this file."""
        return f"{self.name}-{self.digest[:12]}"

    @property
    def version_title(self) -> str:
        """Of exactly this file, for people."""
        return f"{self.title} ({self.digest[:12]})"

    @property
    def images(self) -> list[str]:
        """Those that its steps run in, each once."""
        executors = self.documents[0].get("deploymentSpec", {}).get("executors", {}).values()
        return sorted({one["container"]["image"] for one in executors if "container" in one})

    def for_this_machine(self) -> str:
        """The same YAML for `kfp.local`: no step is tried again, and branches are found out.

        Retries answer to nodes that vanish. On one machine a step that fails once fails again, and a person would wait
        a minute and a half to be told so. Of a step's outputs `kfp.local` finds the one that is called Output; in a
        condition on any other it sees an input that nobody gave, and never takes the branch.
        """
        spec = copy.deepcopy(self.documents[0])
        inner = [component["dag"] for component in spec["components"].values() if "dag" in component]
        for dag in (spec["root"]["dag"], *inner):  # a loop's body is a component with tasks of its own
            for task in dag["tasks"].values():
                task.pop("retryPolicy", None)
                _name_outputs(task)
        return yaml.safe_dump_all([spec, *self.documents[1:]], sort_keys=True)


def _name_outputs(task: dict[str, Any]) -> None:
    """Name the outputs in a task's condition as `kfp.local` looks them up: <task>--<output>."""
    policy = task.get("triggerPolicy", {})
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        if "condition" in policy and (output := source.get("taskOutputParameter")):
            found = f"'{output['producerTask']}--{output['outputParameterKey']}'"
            policy["condition"] = policy["condition"].replace(f"'{name}'", found)


def _said(word: str, names: list[str]) -> str:
    return f"{word} {', '.join(names)}" if names else ""
