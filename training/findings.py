"""What a check says of something that a person wrote, and how a list of it ends a command.

Every checker (arguments, data, memory, plugins) gives `Finding`s, all at once, and decides nothing: an `error` is
refused before anything is made, a `warning` is shown and let pass, a `note` says what could not be checked or is worth
knowing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from infra.errors import BadInput

_DATA = re.compile(r"\S+\.(?:jsonl|json|csv|txt|parquet)(?::\d+)?(?: |$)")
_PLACED = re.compile(r"(\S+):(\d+)( .*)?")
#: As training.swift.data.check says what it gives no place of its own.
_AGAIN = re.compile(r"([\d,]+) more rows? as line \d+: (.*)", re.DOTALL)
#: Lines that are named of several with the same finding.
FIRST = 5
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    where: the key of the job file (`args.lora_rank`, `env.NPROC_PER_NODE`), or a data file's line and field
        (`train.jsonl:17 messages`).
    what: what is wrong, one sentence without its full stop.
    fix: what to do about it, likewise; "" where there is nothing to do.
    """

    severity: Severity
    where: str
    what: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(findings: Iterable[Finding]) -> bool:
    """Whether nothing among them is an error."""
    return all(one.severity != "error" for one in findings)


def sentence(finding: Finding, file: Path | None = None, lines: Mapping[str, int] | None = None) -> str:
    """A finding as a person reads it, `job.yaml:7  args.lora_rank  what. fix.`, where file and line are known.

    lines: the line of each key, as `infra.written.read_yaml` gives them; a key within a key counts as its parent.
    """
    key = finding.where
    while lines and key and key not in lines:
        key = key.rpartition(".")[0]
    line = (lines or {}).get(key)
    if file and (finding.where.startswith(str(file)) or _DATA.match(finding.where)):
        file = None  # of the file itself, or of another one: its place is in `where`
    place = "" if file is None else f"{file}:{line}  " if line else f"{file}  "
    said = " ".join(one if one.endswith((".", "?")) else f"{one}." for one in (finding.what, finding.fix) if one)
    return f"{place}{finding.where}  {said}" if finding.where else f"{place}{said}"


def together(findings: Iterable[Finding]) -> list[Finding]:
    """What is the same of several rows of a data file as one finding, with their number and the first lines."""
    firsts: list[tuple[Finding, list[str]]] = []
    same: dict[tuple[str, ...], list[str]] = {}
    beyond: Counter[tuple[str, str]] = Counter()
    for one in findings:
        placed = _PLACED.fullmatch(one.where)
        if again := _AGAIN.fullmatch(one.what):
            beyond[one.where, again[2]] += int(again[1].replace(",", ""))
        elif placed:
            key = (one.severity, placed[1], placed[3] or "", one.what, one.fix)
            if key not in same:
                firsts.append((one, same.setdefault(key, [])))
            same[key].append(placed[2])
        else:
            firsts.append((one, []))
    return [_of_rows(one, lines, beyond) for one, lines in firsts]


def _of_rows(one: Finding, lines: list[str], beyond: Counter[tuple[str, str]]) -> Finding:
    """The first of several findings, for all of them. beyond: how many more rows of a file have the same."""
    placed = _PLACED.fullmatch(one.where)
    rows = len(lines) + (beyond.pop((placed[1], one.what), 0) if placed else 0)
    if rows < 2:
        return one
    named = f"{', '.join(lines[:FIRST])}{', ...' if rows > FIRST else ''}"
    return replace(one, what=f"{one.what} ({rows:,} rows: lines {named})")


def refuse(findings: Iterable[Finding], file: Path, lines: Mapping[str, int] | None = None) -> None:
    """Raises BadInput with a line for each error, if there is one."""
    errors = [sentence(one, file, lines) for one in together(findings) if one.severity == "error"]
    if errors:
        raise BadInput("\n".join(errors))
