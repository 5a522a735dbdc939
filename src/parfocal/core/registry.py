"""Families of exchangeable parts: a table of names, loaded when first asked for.

A family is `Family("reader", {"folder": "parfocal.readers.folder:FolderReader"})`. Packages outside this one
add to it through the entry-point group `parfocal.<family>`. Nothing is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from parfocal.core.errors import UsageError


class Family:
    """A lazily loaded table from a name to a class or function."""

    def __init__(self, name: str, table: Mapping[str, str]) -> None:
        self.name = name
        self._builtin = dict(table)

    @property
    def table(self) -> dict[str, str]:
        found = {point.name: point.value for point in entry_points(group=f"parfocal.{self.name}")}
        return {**found, **self._builtin}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.table))

    def load(self, name: str) -> Any:
        """Import and return the member of that name; an unknown name suggests the nearest."""
        table = self.table
        if name not in table:
            near = get_close_matches(name, table, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"add an entry point in the group parfocal.{self.name}"
            raise UsageError(f"unknown {self.name} '{name}'", expected=f"one of {', '.join(sorted(table))}", next=hint)
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
