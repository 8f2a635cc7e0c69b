"""The rows that most files are made of, recognised while they are parsed: far cheaper than taking each apart.

A decoder is made for a file's columns, with the types that a plain row has. What it refuses may be right or wrong and
is looked at closely; what it takes is right as soon as the task's own condition holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from training.swift.data.columns import Columns
from training.swift.data.tasks import TAGS

#: Columns that are looked at closely wherever a file has them.
CLOSELY = {*TAGS, "tools", "objects", "history", "rejected_messages", "rejected_images", "positive_messages",
           "negative_messages", "margin"}  # fmt: skip


class Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "user", "assistant"]
    content: str
    loss: bool | None = None


@dataclass(frozen=True)
class Plain:
    """decode: lines -> rows, or msgspec.MsgspecError. fits: whether nothing is wrong with a row."""

    decode: Callable[[bytes | memoryview], list[Any]]
    fits: Callable[[Any], bool]

    def rows(self, lines: bytes | memoryview) -> int | None:
        """How many rows these lines are, if all are plain and right."""
        try:
            rows = self.decode(lines)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return len(rows) if all(map(self.fits, rows)) else None


def plain(columns: Columns, task: str) -> Plain | None:
    """None where a file has columns, or a task asks for something, that is always looked at closely."""
    known = columns.known()
    pairs = columns.format == "query-response"
    fits = (_PAIRS if pairs else _MESSAGES).get(task)
    if fits is None or known & CLOSELY or columns.format == "alpaca" or not known & {"messages", "query", "response"}:
        return None
    if "rejected_response" in known and task not in _DPO:
        return None
    types: dict[str, Any] = {"query": str | None, "response": str | None} if pairs else {"messages": list[Turn]}
    types |= {"system": str | None, "rejected_response": str | None, "label": bool | int | float | None}
    names = {columns.renamed.get(name, name): name for name in columns.names}
    fields: list[Any] = [(name, types[name], None) for name in names if name in types]
    fields += [(name, types[name], None) for name in ("query", "response") if pairs and name not in names]
    fields += [(f"other{number}", Any, None) for number, name in enumerate(names) if name not in types]
    rename = {name: given for name, given in names.items() if name in types}
    rename |= {f"other{number}": given for number, (name, given) in enumerate(names.items()) if name not in types}
    row = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    return Plain(msgspec.json.Decoder(row).decode_lines, fits)


def _ends(row: Any) -> bool:
    return bool(row.messages) and row.messages[-1].role == "assistant"


def _asks(row: Any) -> bool:
    return row.messages is not None and any(one.role == "user" for one in row.messages)


def _worse(row: Any) -> bool:
    return _ends(row) and row.rejected_response is not None and row.rejected_response != row.messages[-1].content


_DPO = ("dpo", "orpo", "cpo", "simpo", "rm")
_MESSAGES: dict[str, Callable[[Any], bool]] = {
    "pt": lambda row: bool(row.messages),
    "sft": _ends,
    "kto": lambda row: _ends(row) and isinstance(getattr(row, "label", None), bool),
    "ppo": _asks,
    "grpo": _asks,
    "gkd": _asks,
    **dict.fromkeys(_DPO, lambda row: hasattr(row, "rejected_response") and _worse(row)),
}
_PAIRS: dict[str, Callable[[Any], bool]] = {
    "pt": lambda row: row.response is not None,
    "sft": lambda row: row.response is not None,
    **dict.fromkeys(("ppo", "grpo", "gkd"), lambda row: row.query is not None),
}
