"""What a resource type accepts and gives: the vocabulary in which `resources` describes each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from infra.sandbox.provider.values import Props


class Kind(Enum):
    TEXT = "string"
    FLAG = "boolean"
    INT = "integer"
    NUMBER = "number"
    JSON = "JSON object or text"
    MAP = "map of strings"
    OBJECT = "object"
    LIST = "list of strings"
    SET = "set of strings"
    OBJECTS = "list of objects"


@dataclass(frozen=True)
class Field:
    """One input.

    computed: when left out, AWS's value is read and is no difference. force_new: a change replaces.
    read_back: False when no API tells it, so the state keeps what was sent. check: text -> what is wrong, or None.
    settable: False for outputs inside a block. length, bounds: both ends included.
    """

    kind: Kind = Kind.TEXT
    required: bool = False
    computed: bool = False
    default: str | int | bool | None = None
    force_new: bool = False
    read_back: bool = True
    settable: bool = True
    conflicts: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    length: tuple[int, int] | None = None
    bounds: tuple[int, int] | None = None
    check: Callable[[str], str | None] | None = None
    same: Callable[[Any, Any], bool] | None = None
    fields: Mapping[str, Field] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Autoname:
    """The input that is filled with `<logical name>-<7 hex digits>` when the program leaves it out."""

    property: str
    longest: int = 255


@dataclass(frozen=True)
class Timeouts:
    """Seconds; customTimeouts replace them where the published type lets them."""

    create: float = 600
    update: float = 600
    delete: float = 600


Failure = tuple[str, str]


@dataclass(frozen=True)
class ResourceType:
    """A type as the program sees it. `elsewhere`: inputs of the published type that this stand-in lacks."""

    token: str
    inputs: Mapping[str, Field]
    outputs: tuple[str, ...] = ()
    autoname: Autoname | None = None
    tagged: bool = False
    regional: bool = True
    delete_before_replace: bool = False
    exactly_one_of: tuple[tuple[str, ...], ...] = ()
    at_least_one_of: tuple[tuple[str, ...], ...] = ()
    elsewhere: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    validate: Callable[[Props], list[Failure]] | None = None

    @property
    def all_inputs(self) -> dict[str, Field]:
        """The inputs with those that every type of its sort has: region, tags, tagsAll."""
        common: dict[str, Field] = {}
        if self.regional:
            common["region"] = Field(computed=True, force_new=True, read_back=False)
        if self.tagged:
            common["tags"] = Field(Kind.MAP)
            common["tagsAll"] = Field(Kind.MAP, computed=True, settable=False)
        return {**common, **self.inputs}


def text(**rules: Any) -> Field:
    return Field(Kind.TEXT, **rules)


def flag(**rules: Any) -> Field:
    return Field(Kind.FLAG, **rules)


def integer(**rules: Any) -> Field:
    return Field(Kind.INT, **rules)


def number(**rules: Any) -> Field:
    return Field(Kind.NUMBER, **rules)


def document(**rules: Any) -> Field:
    return Field(Kind.JSON, **rules)


def string_map(**rules: Any) -> Field:
    return Field(Kind.MAP, **rules)


def names(**rules: Any) -> Field:
    """Strings whose order has no meaning."""
    return Field(Kind.SET, **rules)


def strings(**rules: Any) -> Field:
    return Field(Kind.LIST, **rules)


def block(fields: Mapping[str, Field], **rules: Any) -> Field:
    return Field(Kind.OBJECT, fields=fields, **rules)


def blocks(fields: Mapping[str, Field], **rules: Any) -> Field:
    return Field(Kind.OBJECTS, fields=fields, **rules)
