"""Files that people write: YAML in, a validated frozen model out, each problem named by file, line and key.

`load(path, Model)` raises `BadInput` with one line a problem; it is the only place where a spelling mistake
becomes a sentence, for job files and stack files alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from infra.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)


class _Lines(yaml.SafeLoader):
    """SafeLoader that remembers where each key stands and refuses a key written twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.lines: dict[int, dict[str, int]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # SafeLoader says what is wrong with it
            if key.value in lines:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is written twice", key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        mapping = super().construct_mapping(node, deep=True)
        self.lines[id(mapping)] = lines
        return mapping


_Lines.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Lines.construct_mapping)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The right name that a misspelt one most likely meant, or None where nothing is close."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """A YAML file's top mapping, and the line of each of its keys (`args.lora_rank`, `then.0.args.model`)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadInput("no such file", where=str(path), do="Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"can't be read: {error}", where=str(path), do="Check the file.") from error
    try:
        loader = _Lines(text)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"not YAML: {error.problem}", where=f"{path}:{line}", do="Correct that line.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(error.character)!r} is not allowed in YAML"
        raise BadInput(what, where=f"{path}:{line}", do="Take it out.") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise BadInput("not a mapping of keys to values", where=str(path), do="Write `key: value` lines.")
    return data, dict(_keys(data, loader.lines, "", set()))


def _keys(value: Any, known: Mapping[int, Mapping[str, int]], prefix: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """The line of each key of a value, at any depth. seen: what an alias repeats is told once."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))
    yield from ((f"{prefix}{key}", line) for key, line in known.get(id(value), {}).items())
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _keys(inner, known, f"{prefix}{key}.", seen)


def validate(
    model: type[Model], data: Mapping[str, Any], *, file: Path, lines: Mapping[str, int], prefix: str = ""
) -> Model:
    """`data` as a `model`, or BadInput that lists every problem, each with its line and what is allowed."""
    made, found = problems(model, data)
    if made is None:
        raise BadInput("\n".join(_sentence(one, file, lines, prefix) for one in found), do="")
    return made


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key (`args`, `env`), and what to do about it; "" where `what` says it."""

    key: str
    what: str
    do: str = ""


def problems(model: type[Model], data: Mapping[str, Any]) -> tuple[Model | None, list[Problem]]:
    """`data` as a `model`, or None and every problem."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(model, one) for one in error.errors()]


def load(path: Path, model: type[Model]) -> Model:
    data, lines = read_yaml(path)
    return validate(model, data, file=path, lines=lines)


def _sentence(problem: Problem, file: Path, lines: Mapping[str, int], prefix: str) -> str:
    key = problem.key
    line = lines.get(prefix + key) or lines.get(prefix + key.split(".")[0])
    where = f"{file}:{line}" if line else str(file)
    named = f"{prefix}{key}  " if key else ""  # none: it is about several keys at once
    return f"{where}  {named}{problem.what}. {problem.do}".rstrip()


def _problem(model: type[BaseModel], problem: Any) -> Problem:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in _inner(model, problem["loc"]).model_fields.items()]
        guess = nearest(str(problem["loc"][-1]), known)
        return Problem(key, "unknown key", f"Did you mean {guess}?" if guess else f"Known: {', '.join(known)}.")
    if problem["type"] == "missing":
        return Problem(key, "is missing", "Add it.")
    said = problem["msg"].removeprefix("Value error, ").rstrip(".")
    given = problem.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return Problem(key, f"{said}{shown}")


def _inner(model: type[BaseModel], loc: Iterable[Any]) -> type[BaseModel]:
    """The model that a key at `loc` belongs to: its own, or the one that a list of it holds."""
    for part in loc:
        field = model.model_fields.get(str(part))
        held = [one for one in get_args(field.annotation) if isinstance(one, type)] if field else []
        model = next((one for one in held if issubclass(one, BaseModel)), model)
    return model
