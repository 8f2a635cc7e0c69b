"""A file's columns -> its format, and what each column becomes: ms-swift decides both once a file, by names alone.

Source: AutoPreprocessor and safe_rename_columns in swift/dataset/preprocessor/core.py of 4.6.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Format = Literal["messages", "alpaca", "query-response"]

#: Names that stand for another one, where they are the only such name of a file; upper and lower case are one.
MEDIA = {
    "image": "images",
    "images": "images",
    "video": "videos",
    "videos": "videos",
    "audio": "audios",
    "audios": "audios",
}
SYSTEM = {"system": "system", "system_prompt": "system"}
MESSAGES = {"messages": "messages", "conversation": "messages", "conversations": "messages"}
QUERY = dict.fromkeys(("query", "prompt", "input", "instruction", "question", "problem"), "query")
RESPONSE = dict.fromkeys(
    ("response", "answer", "output", "targets", "target", "answer_key", "answers", "solution", "text", "completion",
     "content"),
    "response",
)  # fmt: skip
ALIASES: Mapping[Format, Mapping[str, str]] = {
    "messages": MEDIA | MESSAGES | SYSTEM,
    "alpaca": MEDIA | SYSTEM | QUERY | RESPONSE,
    "query-response": MEDIA | SYSTEM | QUERY | RESPONSE,
}


@dataclass(frozen=True)
class Columns:
    """What a file's columns mean.

    renamed: name in the file -> name that ms-swift gives it. clashes: a name that two or more columns would get, with
    those columns: none of them gets it, and unless one has it already they are all lost.
    """

    format: Format
    names: frozenset[str]
    renamed: Mapping[str, str]
    clashes: Mapping[str, tuple[str, ...]]

    def known(self) -> frozenset[str]:
        return frozenset(self.renamed.get(name, name) for name in self.names)


def columns_of(names: Iterable[str], given: Mapping[str, str] | None = None, *, mapped: bool = True) -> Columns:
    """names: a file's columns. given: the job's `columns`. mapped: not with `disable_auto_column_mapping`."""
    first, _ = _renamed(names, given or {})
    now = {name: first.get(name, name) for name in names}
    form = format_of(now.values())
    more, clashes = _renamed(now.values(), ALIASES[form] if mapped else {})
    renamed = {name: more.get(new, new) for name, new in now.items()}
    return Columns(form, frozenset(now), {old: new for old, new in renamed.items() if old != new}, clashes)


def format_of(names: Iterable[str]) -> Format:
    there = set(names)
    if there & MESSAGES.keys():
        return "messages"
    return "alpaca" if {"instruction", "input"} <= there else "query-response"


def _renamed(names: Iterable[str], to: Mapping[str, str]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    lower = {name.lower(): name for name in names}
    found = {lower[old.lower()]: new for old, new in to.items() if old.lower() in lower}
    by_target: dict[str, list[str]] = {}
    for old, new in found.items():
        by_target.setdefault(new, []).append(old)
    clashes = {new: tuple(sorted(olds)) for new, olds in by_target.items() if len(olds) > 1}
    return {old: new for old, new in found.items() if new not in clashes and old != new}, clashes
