"""The known failures of troubles.yaml, and the expressions that find them in a log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from training.swift.logs import ROW_DROPPED, SUCCESS

RULES = Path(__file__).with_name("troubles.yaml")

Kind = Literal["failure", "echo", "symptom"]
_ERROR_WORDS = "Error|Exception|Interrupt|Exit|OutOfMemory|SIG[A-Z]+\\)|Traceback \\(most"


@dataclass(frozen=True)
class Rule:
    """One known failure; its fields are explained at the top of troubles.yaml."""

    id: str
    title: str
    signs: tuple[str, ...]
    cause: str
    fix: str
    kind: Kind = "failure"
    within: str = ""
    when: str = ""
    unless: str = ""
    times: int = 1


@cache
def rules() -> tuple[Rule, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read = yaml.load(RULES.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  a safe one
    return tuple(Rule(**{**one, "signs": tuple(one["signs"])}) for one in read)


@dataclass(frozen=True)
class Signs:
    """The rules' expressions, compiled. gate: any line that may mean something. steps, any_step: step lines alone."""

    lines: tuple[tuple[Rule, re.Pattern[bytes]], ...]
    steps: tuple[tuple[Rule, re.Pattern[bytes]], ...]
    within: Mapping[str, re.Pattern[bytes]]
    whens: Mapping[str, re.Pattern[bytes]]
    gate: re.Pattern[bytes]
    any_step: re.Pattern[bytes]


@cache
def signs() -> Signs:
    known = rules()
    of_steps = [one for one in known if one.signs and one.signs[0].startswith("'")]
    of_lines = [one for one in known if one.signs and one not in of_steps]
    whens = {text for one in known for text in (one.when, one.unless) if text}
    plain = [sign for one in of_lines for sign in one.signs]
    return Signs(
        lines=tuple((one, _any(one.signs)) for one in of_lines),
        steps=tuple((one, _any(one.signs)) for one in of_steps),
        within={one.within: re.compile(one.within.encode()) for one in known if one.within},
        whens={when: re.compile(when.encode()) for when in whens},
        any_step=_any(sign for one in of_steps for sign in one.signs),
        gate=re.compile(_by_first_letters([*plain, *whens, *_ERROR_WORDS.split("|"), ROW_DROPPED, SUCCESS]).encode()),
    )


def _any(signs: Iterable[str]) -> re.Pattern[bytes]:
    return re.compile("|".join(signs).encode())


def _by_first_letters(signs: Iterable[str]) -> str:
    """One expression for all: each begins with two plain characters, so that a place in a line is tried against the few
    that begin as it does. Twice as fast as a plain list of them."""
    tree: dict[str, dict[str, list[str]]] = {}
    for sign in signs:
        tree.setdefault(sign[0], {}).setdefault(sign[1], []).append(sign[2:])
    firsts = [
        first + "(?:" + "|".join(f"{second}(?:{'|'.join(rest)})" for second, rest in seconds.items()) + ")"
        for first, seconds in tree.items()
    ]
    return "|".join(firsts)
