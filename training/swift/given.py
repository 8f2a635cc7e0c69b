"""A command with its arguments as ms-swift will have them, and the processes that will run it: what rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.swift.arguments import Argument


@dataclass(frozen=True)
class World:
    """nodes x processes a node; gpus_per_node: 0 where there are none, None where it is not known."""

    nnodes: int
    nproc_per_node: int
    gpus_per_node: int | None = None

    @property
    def size(self) -> int:
        return self.nnodes * self.nproc_per_node


class NotKnown(LookupError):
    """A value that can't be known here, since it was not readable: a rule that needs it says nothing."""


@dataclass(frozen=True)
class Given:
    """One command line.

    command: `swift sft`. arguments: what the command takes. values: what was given, as its parser makes it; unread: the
    names whose values it refuses.
    """

    command: str
    arguments: Mapping[str, Argument]
    values: Mapping[str, Any]
    unread: frozenset[str] = frozenset()
    world: World | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> Any:
        """The value that holds: the one given, else the default. Raises NotKnown."""
        if name in self.unread or name not in self.arguments:
            raise NotKnown(name)
        return self.values.get(name, self.arguments[name].default)

    def get(self, name: str) -> Any:
        """As `[]`, and None where the command has no such argument."""
        return self[name] if name in self.arguments else None

    def first(self, name: str) -> Any:
        """The value, or the only one of a list of one: ms-swift unpacks loss_type so."""
        value = self.get(name)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def of_world(self) -> World:
        if self.world is None:
            raise NotKnown("world")
        return self.world
