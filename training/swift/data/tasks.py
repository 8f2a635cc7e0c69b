"""What each task needs of a row, beyond that it can be read at all.

Sources: TemplateInputs in swift/template/template_inputs.py, the trainers' templates, and the row checks of
swift/dataset/preprocessor/core.py, of 4.6.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.swift.data import problems as p
from training.swift.data.problems import Problem
from training.swift.data.turns import Dropped, Message, carries_its_media, kind_of, read_messages

Need = Callable[[Mapping[str, Any], list[Message]], Iterator[Problem]]
TAGS = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}
#: What is no path of a file: an address, or the bytes themselves.
ELSEWHERE = ("http://", "https://", "data:", "oss://", "s3://", "gs://")
LONGEST_PATH = 1000


@dataclass(frozen=True)
class Task:
    """rows: what a row holds, for people. needs: what is asked of it, in order."""

    rows: str
    needs: tuple[Need, ...]


def _answer(task: str) -> Need:
    def need(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
        if turns[-1][0] not in ("assistant", "tool_call"):
            yield Problem(p.NO_ANSWER, "messages", f"{turns[-1][0]}|{task}")

    return need


def _user(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
    if not any(role in ("user", "tool_response") for role, _ in turns):
        yield Problem(p.NO_USER, "messages")


def _rejected(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
    given = row.get("rejected_response")
    if given is None and row.get("rejected_messages") is None and row.get("rejected_images") is None:
        yield Problem(p.NO_REJECTED, "rejected_response")
    elif given is not None and not isinstance(given, str | list):
        yield Problem(p.REJECTED, "rejected_response", kind_of(given))
    elif isinstance(given, list) and [one.get("content") for one in given if isinstance(one, dict)] == [turns[-1][1]]:
        yield Problem(p.REJECTED_SAME, "rejected_response")
    if row.get("rejected_messages") is not None:
        try:
            if read_messages(row["rejected_messages"], "rejected_messages") == turns and not row.get("rejected_images"):
                yield Problem(p.REJECTED_SAME, "rejected_messages")
        except Dropped as dropped:
            yield dropped.problem


def _margin(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
    margin = row.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, int | float)):
        yield Problem(p.MARGIN, "margin", kind_of(margin))


def _good_or_bad(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
    label = row.get("label")
    if label is None:
        yield Problem(p.NO_LABEL, "label", "true or false")
    elif not isinstance(label, bool) and label not in (0, 1):
        yield Problem(p.LABEL, "label", f"{kind_of(label)}|true or false")


def _class(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
    label = row.get("label")
    if label is None:
        yield Problem(p.NO_LABEL, "label", "a number, or a list of them")
    elif not all(isinstance(one, int | float) for one in (label if isinstance(label, list) else [label])):
        yield Problem(p.LABEL, "label", f"{kind_of(label)}|a number, or a list of them")


def _positives(most: int | None) -> Need:
    def need(row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
        positives = row.get("positive_messages")
        if not positives:
            yield Problem(p.NO_POSITIVE, "positive_messages")
            return
        for field in ("positive_messages", "negative_messages"):
            yield from _lists(row.get(field), field)
        if most and isinstance(positives, list) and len(positives) > most:
            yield Problem(p.MORE_POSITIVE, "positive_messages", str(len(positives)))

    return need


def _lists(given: Any, field: str) -> Iterator[Problem]:
    if given is None:
        return
    if not isinstance(given, list) or not all(isinstance(one, list) for one in given):
        yield Problem(p.POSITIVE, field, field)
        return
    for number, one in enumerate(given):
        try:
            read_messages(one, f"{field}[{number}]")
        except Dropped as dropped:
            yield dropped.problem


TASKS: Mapping[str, Task] = {
    "pt": Task("a text: one assistant turn", ()),
    "sft": Task("messages that end with the assistant", (_answer("sft"),)),
    **{
        name: Task("messages that end with the chosen answer, and one rejected", (_answer(name), _rejected))
        for name in ("dpo", "orpo", "cpo", "simpo")
    },
    "rm": Task("as dpo; margin may be a number", (_answer("rm"), _rejected, _margin)),
    "kto": Task("messages that end with the assistant, and label true or false", (_answer("kto"), _good_or_bad)),
    "ppo": Task("messages with a user turn; a last answer is left out", (_user,)),
    "grpo": Task("as ppo; other columns (solution) go to the reward functions", (_user,)),
    "gkd": Task("messages with a user turn; the answer may be missing", (_user,)),
    "seq_cls": Task("messages, and label a number or a list of them", (_class,)),
    "embedding": Task("messages, and positive_messages with one list", (_positives(1),)),
    "reranker": Task("messages, positive_messages, and mostly negative_messages", (_positives(None),)),
    "generative_reranker": Task("as reranker", (_positives(None),)),
}


def of_row(row: Mapping[str, Any], turns: list[Message], task: Task, media: Media) -> Iterator[Problem]:
    """What is wrong with a row that ms-swift can read. row: with ms-swift's names for its columns."""
    if "rejected_response" in row:
        given = row["rejected_response"]
        if given is None:
            yield Problem(p.REJECTED_NULL, "rejected_response")
            return
        if isinstance(given, str) and given == turns[-1][1]:
            yield Problem(p.REJECTED_SAME, "rejected_response")
            return
    for number, (_, content) in enumerate(turns):
        if not isinstance(content, str) and not isinstance(content, dict):
            yield Problem(p.TEXT, f"messages[{number}].content", kind_of(content))
    if task.needs:
        for need in task.needs:
            yield from need(row, turns)
    yield from _calls(turns)
    if len(row) > 1:
        yield from media.of_row(row, turns)
        if row.get("tools") is not None:
            yield from _tools(row["tools"])
        if row.get("objects") is not None:
            yield from _objects(row["objects"], turns)


@dataclass(frozen=True)
class Media:
    """base: the folder that relative paths go from. here: whether the files are looked for on this machine."""

    base: Path
    here: bool = True

    def of_row(self, row: Mapping[str, Any], turns: list[Message]) -> Iterator[Problem]:
        for column, tag in TAGS.items():
            given = row.get(column)
            files = [] if given is None else given if isinstance(given, list) else [given]
            if not all(isinstance(one, str | dict | list) for one in files):
                yield Problem(p.MEDIA_TYPE, column, kind_of(given))
                continue
            tags = sum(text.count(tag) for _, text in turns if isinstance(text, str) and not carries_its_media(text))
            if tags > len(files) and not (given is None and column not in row):
                yield Problem(p.MANY_TAGS, column, f"{tags} {tag} and {len(files)} {column}")
            elif tags < len(files):
                yield Problem(p.FEW_TAGS, column, f"{tags} {tag} and {len(files)} {column}")
            if self.here:
                yield from (Problem(p.NO_MEDIA, column, one[:200]) for one in self._missing(files))

    def _missing(self, files: list[Any]) -> Iterator[str]:
        for one in files:
            path = one.get("path") if isinstance(one, dict) and not one.get("bytes") else one
            for name in path if isinstance(path, list) else [path]:
                local = isinstance(name, str) and not name.startswith(ELSEWHERE) and len(name) < LONGEST_PATH
                if local and not _exists(str(self.base), str(name)):
                    yield str(name)


@lru_cache(maxsize=1 << 16)
def _exists(base: str, name: str) -> bool:
    try:
        return (Path(base) / Path(name.removeprefix("file://")).expanduser()).exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _calls(turns: list[Message]) -> Iterator[Problem]:
    before = ""
    for number, (role, content) in enumerate(turns):
        if role == "tool_call":
            call = content
            if isinstance(content, str):
                try:
                    call = json.loads(content)
                except ValueError:
                    call = None
            if not isinstance(call, dict) or "name" not in call or not {"arguments", "input"} & call.keys():
                yield Problem(p.TOOL_CALL, f"messages[{number}].content")
        elif role == "tool_response" and before not in ("tool_call", "tool_response", "assistant"):
            yield Problem(p.TOOL_ORDER, f"messages[{number}]")
        before = role


def _tools(tools: Any) -> Iterator[Problem]:
    if isinstance(tools, str):
        try:
            json.loads(tools)
        except ValueError:
            yield Problem(p.TOOLS, "tools")


def _objects(objects: Any, turns: list[Message]) -> Iterator[Problem]:
    if not isinstance(objects, dict) or not isinstance(objects.get("bbox"), list):
        yield Problem(p.OBJECTS, "objects.bbox", "objects without bbox")
        return
    boxes, refs = objects["bbox"], objects.get("ref") or []
    wrong = next((one for one in boxes if not isinstance(one, list) or len(one) not in (2, 4)), None)
    if wrong is not None:
        many = f"a box of {len(wrong)} numbers" if isinstance(wrong, list) else f"a box that is {kind_of(wrong)}"
        yield Problem(p.OBJECTS, "objects.bbox", many)
        return
    text = "".join(content for _, content in turns if isinstance(content, str))
    for tag, given, field in (("<ref-object>", refs, "ref"), ("<bbox>", boxes, "bbox")):
        if isinstance(given, list) and text.count(tag) != len(given):
            said = f"{text.count(tag)} {tag} and {len(given)} in objects.{field}"
            yield Problem(p.PLACES, f"objects.{field}", said)
