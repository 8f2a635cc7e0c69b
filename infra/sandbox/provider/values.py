"""Property values: protobuf structs to plain Python and back, unknowns, nearest names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import struct_pb2

Props = dict[str, Any]

# pulumi.runtime.rpc.UNKNOWN: how a value that is not known before the update travels in a preview.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# pulumi.runtime.rpc: the key that marks a struct as a special value, and the mark of a secret.
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
DEFAULTS = "__defaults"


def plain(struct: struct_pb2.Struct) -> Props:
    """A struct as a dict: whole numbers as int, secrets opened, nulls left out."""
    found = {key: _plain(value) for key, value in struct.fields.items()}
    return {key: value for key, value in found.items() if value is not None}


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        inner = plain(value.struct_value)
        return inner.get("value") if inner.get(SIGNATURE) == SECRET else inner
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return value.string_value
    return value.bool_value if kind == "bool_value" else None


def struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update({key: value for key, value in props.items() if value is not None})
    return made


def secret(value: Any) -> Props:
    return {SIGNATURE: SECRET, "value": value}


def has_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def is_zero(value: Any) -> bool:
    """Nothing, false, 0, "" and empty collections: the provider treats sending them as not sending."""
    return value is None or value is False or value in (0, "", [], {})


def nearest(word: str, choices: Iterable[str]) -> str:
    """` Did you mean x?`, or nothing when no choice is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower().replace("_", ""), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[close[0]]}?" if close else ""
