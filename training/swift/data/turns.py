"""A row of any format -> ms-swift's messages, or why it drops the row.

Source: MessagesPreprocessor, AlpacaPreprocessor, ResponsePreprocessor and _check_messages in
swift/dataset/preprocessor/core.py of 4.6.0; openai's and anthropic's shapes in swift/template/template_inputs.py.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from training.swift.data import problems as p
from training.swift.data.columns import Format
from training.swift.data.problems import Problem

ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "bot": "assistant", "tool": "tool_response", "tool_call": "tool_call", "function_call": "tool_call",
    "tool_response": "tool_response", "function_response": "tool_response", "observation": "tool_response",
    "observations": "tool_response",
}  # fmt: skip
MEDIA_BLOCKS = {"image", "video", "audio", "image_url", "video_url", "audio_url"}

Message = tuple[str, Any]


class Dropped(Exception):
    """Why ms-swift drops the row."""

    def __init__(self, kind: p.Kind, field: str = "", detail: str = "") -> None:
        super().__init__(kind.name)
        self.problem = Problem(kind, field, detail)


def messages_of(row: Mapping[str, Any], form: Format) -> list[Message]:
    """(role, content) of a row whose columns have ms-swift's names. Raises Dropped."""
    if form == "messages":
        if row.get("messages") is None and "messages" not in row:
            raise Dropped(p.FOREIGN, "", _looks_like(row))
        return read_messages(row["messages"], "messages", row.get("system"))
    query = row.get("query")
    response = row.get("response")
    if form == "alpaca":
        query, response = _alpaca(row), row["output"] if row.get("output") is not None else response
    if isinstance(response, list):
        if not response:
            raise Dropped(p.ANSWERS, "response")
        response = response[0]
    turns: list[Message] = [] if row.get("system") is None else [("system", row["system"])]
    for asked, answered in [*_history(row.get("history")), (query, response)]:
        turns += [("user", asked)] if asked is not None else []
        turns += [("assistant", answered)] if answered is not None else []
    if not turns:
        raise Dropped(*((p.FOREIGN, "", "messages") if _has_messages(row) else (p.NO_TURN,)))
    return turns


def read_messages(given: Any, field: str, system: Any = None) -> list[Message]:
    """A list of messages in any of the shapes that ms-swift takes. Raises Dropped."""
    if isinstance(given, str):
        given = _parsed(given, field)
    if not isinstance(given, list) or not given:
        raise Dropped(p.NO_MESSAGES, field, "empty" if given == [] else kind_of(given))
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            raise Dropped(p.NO_MESSAGES, f"{field}[{number}]", kind_of(one))
    first = given[0]
    if (
        first.get("role") is None
        and first.get("content") is None
        and first.get("from") is None
        and (first.get("value") is None)
    ):
        return _pairs(given, field, system)
    turns: list[Message] = []
    for number, one in enumerate(given):
        turns += _turns(one, field, number)
    if turns and turns[0][0] != "system" and system is not None:
        turns.insert(0, ("system", system))
    return turns


def _turns(one: Mapping[str, Any], field: str, number: int) -> list[Message]:
    """One message; of openai's and anthropic's shapes it may become several."""
    role = one["from"] if one.get("from") is not None else one.get("role")
    content = one["value"] if one.get("value") is not None else one.get("content")
    if role is None:
        raise Dropped(p.NO_ROLE, f"{field}[{number}]")
    name = ROLES.get(role) or ROLES.get(role.replace("-", "_")) if isinstance(role, str) else None
    if name is None:
        raise Dropped(p.ROLE, f"{field}[{number}].role", repr(role)[:40])
    calls = one.get("tool_calls")
    if calls and name == "assistant" and isinstance(calls, list):
        said: list[Message] = [(name, content)] if content else []
        return said + [("tool_call", _function(call)) for call in calls]
    if content is None:
        what = "null" if "content" in one or "value" in one else "missing"
        raise Dropped(p.CONTENT, f"{field}[{number}].content", what)
    if isinstance(content, list):
        return _blocks(name, content, f"{field}[{number}].content")
    return [(name, content)]


def _blocks(role: str, content: list[Any], field: str) -> list[Message]:
    """Content in blocks as one text with tags; tool_use and tool_result become messages of their own."""
    turns: list[Message] = []
    text = ""
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text += str(block.get("text", ""))
        elif kind in MEDIA_BLOCKS:
            text += f"<{str(kind).removesuffix('_url')}>"
        elif kind in ("tool_use", "tool_result"):
            turns += [(role, text)] if text else []
            turns.append(("tool_call", block) if kind == "tool_use" else ("tool_response", block))
            text = ""
        else:
            raise Dropped(p.BLOCK, field, kind_of(block) if kind is None else f"a {kind} block")
    return [*turns, (role, _Tagged(text))] if text or not turns else turns


class _Tagged(str):
    """A text whose media came along in its blocks, so that its tags count for nothing."""


def carries_its_media(content: Any) -> bool:
    return isinstance(content, _Tagged)


def _function(call: Any) -> Any:
    return call.get("function", call) if isinstance(call, dict) else call


def _pairs(given: list[dict[str, Any]], field: str, system: Any) -> list[Message]:
    turns: list[Message] = [] if system is None else [("system", system)]
    for number, one in enumerate(given):
        for role, names in (("user", ("user", "human")), ("assistant", ("assistant", "gpt", "bot"))):
            said = next((one[name] for name in names if one.get(name) is not None), None)
            if said is None:
                raise Dropped(p.PAIR, f"{field}[{number}]", role)
            turns.append((role, said))
    return turns


def _alpaca(row: Mapping[str, Any]) -> str:
    asked, more = row.get("instruction"), row.get("input")
    query = f"{asked}\n{more}" if asked and more else asked or more
    if not isinstance(query, str):
        raise Dropped(p.QUERY_TEXT, "instruction")
    return query


def _history(given: Any) -> list[tuple[Any, Any]]:
    if not given:
        return []
    pairs = _parsed(given, "history") if isinstance(given, str) else given
    if not isinstance(pairs, list) or not all(isinstance(one, list | tuple) and len(one) > 1 for one in pairs):
        raise Dropped(p.HISTORY, "history", "no list of pairs")
    return [(one[0], one[1]) for one in pairs]


def _parsed(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        kind = p.HISTORY if field == "history" else p.NO_MESSAGES
        raise Dropped(kind, field, "a text that is no list") from error


def _looks_like(row: Mapping[str, Any]) -> str:
    if {"instruction", "input"} <= row.keys():
        return "alpaca"
    return "query-response" if row.keys() & {"query", "response", "prompt", "question", "answer"} else "messageless"


def _has_messages(row: Mapping[str, Any]) -> bool:
    return bool(row.keys() & {"messages", "conversations", "conversation"})


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
