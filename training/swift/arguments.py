"""ms-swift's arguments by command, from the table that `scripts/swift-args` made of the pinned version.

The table ships beside this file; nothing of ms-swift or torch is imported. Values are read as ms-swift reads those of a
YAML file: each becomes text on a command line (swift/cli/main.py, parse_yaml_args), which argparse parses.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

#: What the nodes have: scripts/locks.
VERSION = "4.6.0"
_TRUE = {"yes", "true", "t", "y", "1"}
_FALSE = {"no", "false", "f", "n", "0"}


@dataclass(frozen=True)
class Argument:
    """One argument of a command.

    type: what its parser makes of the text: bool, int, float, str, choice, or a class that no text becomes.
    many: whether it takes several values. negated: whether `--no_NAME` exists too.
    defined_in: the ms-swift or transformers class whose default holds.
    """

    name: str
    type: str
    default: Any
    defined_in: str
    choices: tuple[Any, ...] = ()
    many: bool = False
    negated: bool = False

    @property
    def shown_type(self) -> str:
        """The type as a person reads it: `int, several`, `a | b | c`."""
        one = " | ".join("None" if c is None else str(c) for c in self.choices) or self.type
        return f"{one}, several" if self.many else one

    @property
    def shown_default(self) -> str:
        if self.default is None:
            return "none"
        return str(self.default).lower() if isinstance(self.default, bool) else json.dumps(self.default).strip('"')

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Table:
    """All commands of one version: `commands["swift sft"]["lora_rank"]`.

    registered: the names that ms-swift itself has for an argument that takes any text (tuner_type, callbacks, ...).
    """

    version: str
    commands: Mapping[str, Mapping[str, Argument]]
    registered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def having(self, name: str) -> list[str]:
        """The commands that have an argument of this name."""
        return [command for command, arguments in self.commands.items() if name in arguments]


class Unreadable(ValueError):
    """A value that the argument's parser refuses; says what it takes instead."""


def table_file(version: str) -> Path:
    return Path(__file__).with_name(f"arguments-{version}.json")


def versions() -> list[str]:
    """The versions that a table ships of."""
    return sorted(one.stem.removeprefix("arguments-") for one in Path(__file__).parent.glob("arguments-*.json"))


@cache
def table(version: str = VERSION) -> Table:
    """Raises FileNotFoundError for a version that is not among `versions()`."""
    read = json.loads(table_file(version).read_text(encoding="utf-8"))
    commands: dict[str, dict[str, Argument]] = {command: {} for command in read["commands"]}
    for group in read["groups"]:
        for name, described in group["arguments"].items():
            described["choices"] = tuple(described.get("choices", ()))
            made = Argument(name=name, defined_in=group["defined_in"], **described)
            for command in group["commands"]:
                commands[command][name] = made
    registered = {name: tuple(values) for name, values in read["registered"].items()}
    return Table(version, commands, registered)


def matching(arguments: Mapping[str, Argument], parts: Iterable[str]) -> list[Argument]:
    """The arguments whose names have every one of the parts, or whose choices are one of them."""
    wanted = [part.replace("-", "_").lower() for part in parts]
    return [
        one
        for name, one in arguments.items()
        if all(part in name.lower() or part in map(str, one.choices) for part in wanted)
    ]


def options(arguments: Mapping[str, Argument]) -> dict[str, str]:
    """Every long option of a command's parser, and the argument it stands for; "" for help.

    transformers' HfArgumentParser gives each `a_b` also `--a-b`, and a flag that is on by default `--no_a_b`.
    """
    found = {"help": ""}
    for name, argument in arguments.items():
        for option in (name, f"no_{name}") if argument.negated else (name,):
            found |= {option: name, option.replace("_", "-"): name}
    return found


def similar(word: str, names: Mapping[str, Any] | tuple[str, ...] | list[str], n: int = 1) -> list[str]:
    """The names that a misspelt word most likely meant, best first."""
    return difflib.get_close_matches(word.replace("-", "_"), [str(one) for one in names], n=n, cutoff=0.7)


def words(value: Any) -> list[str]:
    """A value of a YAML file as ms-swift puts it on the command line."""
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return [json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping) else str(value)]


def parsed(argument: Argument, value: Any) -> Any:
    """What the command's parser makes of a YAML value. Raises Unreadable where it refuses it."""
    given = words(value)
    if not given:
        raise Unreadable("has an empty list: give a value, or leave the line out")
    if len(given) > 1 and not argument.many:
        raise Unreadable(f"takes one value, not {len(given)}: give one")
    for word in given:
        if word.startswith("-") and not _is_value(word):
            raise Unreadable(f"can't be {word!r}: argparse takes it for an option")
    made = [_made(argument, word) for word in given]
    return made if argument.many else made[0]


def _is_value(word: str) -> bool:
    """Whether argparse takes a word that begins with a hyphen for a value (argparse.py, _parse_optional)."""
    if word == "-" or " " in word:
        return True
    digits = word[1:]
    return digits.isdecimal() or (
        digits.count(".") == 1 and digits.replace(".", "", 1).isdecimal() and digits[-1] != "."
    )


def _made(argument: Argument, word: str) -> Any:
    if argument.choices:
        for choice in argument.choices:
            if word == str(choice):
                return choice
        near = similar(word, [str(one) for one in argument.choices])
        hint = f"Did you mean {near[0]}? It takes" if near else "It takes"
        raise Unreadable(f"can't be {word!r}. {hint} {argument.shown_type.removesuffix(', several')}")
    if argument.type == "bool":
        if word.lower() not in _TRUE | _FALSE:
            raise Unreadable(f"can't be {word!r}: it is true or false")
        return word.lower() in _TRUE
    if argument.type == "str":
        return word
    number = {"int": int, "float": float}.get(argument.type)
    if number is None:
        raise Unreadable(f"can't be given: ms-swift makes no {argument.type} of a text")
    try:
        return number(word)
    except ValueError:
        kind = "a whole number" if argument.type == "int" else "a number"
        raise Unreadable(f"can't be {word!r}: it is {kind}") from None
