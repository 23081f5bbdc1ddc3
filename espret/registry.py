"""Registries: name -> where the thing lives. Adding a network, loss, metric or runner is one file and one line in one.

The entries are "module:object" strings, so listing names imports nothing and a broken optional part hurts only
those who ask for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from espret.errors import EspretError, nearest


class Registry(Mapping[str, str]):
    """A read-only mapping of names to "module:object", for one kind of thing."""

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        try:
            return self._entries[name]
        except KeyError:
            raise EspretError(f"unknown {self.kind} '{name}'{nearest(name, self._entries)}") from None

    def __contains__(self, name: object) -> bool:  # Mapping's asks for the value, and an unknown name is an error
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """The object registered under `name`. Raises EspretError for an unknown name, with the nearest known one."""
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
