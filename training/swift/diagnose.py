"""Logs of a run's ranks -> what went wrong, why, and the argument to change. The rules are in troubles.yaml.

Each log is read once, in pieces, and nothing of it is kept but what was found. Most lines of a training log are
progress bars and reports of steps: those are told apart first, and one expression, made of all signs, rules out most of
the rest.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.errors import BadInput
from training.swift.logs import ROW_DROPPED, SUCCESS, read_error
from training.swift.troubles import Kind, Rule, signs

CHUNK = 1 << 20
#: A line longer than that is looked at in parts; what is said of one is shortened to SHOWN characters.
LONGEST, SHOWN = 1 << 20, 400
#: Lines of a traceback that are kept, to see where an error came from.
TRACEBACK = 200
#: A failure that no rule knows.
OTHER = "OTHER"

_ORDER: Mapping[Kind, int] = {"failure": 0, "echo": 1, "symptom": 2}

_BAR = re.compile(rb"\s*[\w ()=]+: +\d+%\|.*?/s?(?:it|s)\]")
_STEP = b"{'loss': "
_ANSI = re.compile(rb"\x1b\[[0-9;]*m")
_RANK = re.compile(rb"^\[rank\d+\]: ?")
#: `E1124 00:21:02.008000 ...` of torch, also behind `[rank1]:[`, and the report of torchrun, with its year.
_STAMP = re.compile(
    rb"(?:\[rank\d+\]:)?\[?[EWIF](\d\d)(\d\d) (\d\d:\d\d:\d\d)|  time +: \d{4}-(\d\d)-(\d\d)_(\d\d:\d\d:\d\d)"
)


@dataclass(frozen=True)
class Diagnosis:
    """One thing that a log shows.

    line: as an editor counts. at: month, day and time by the node's clock, "" where the log tells none.
    """

    rule: str
    line: int
    text: str
    cause: str
    fix: str
    kind: Kind = "failure"
    file: str = ""
    rank: int | None = None
    at: str = ""

    def as_json(self, *, several: bool = False) -> dict[str, Any]:
        """rule, line, text, cause, fix; of several logs also file, and rank where the file's name tells it."""
        said: dict[str, Any] = {key: getattr(self, key) for key in ("rule", "line", "text", "cause", "fix")}
        if several:
            said |= {"file": self.file, "rank": self.rank}
        return said


def diagnose(logs: Sequence[Path]) -> list[Diagnosis]:
    """What the logs show, the earliest cause first over all of them; nothing where they are healthy.

    A rank that only felt another's end is left out where some log has a cause. Raises BadInput for what can't be read.
    """
    found: list[Diagnosis] = []
    for file in logs:
        rank = re.fullmatch(r"rank-(\d+)", file.stem)
        try:
            with file.open("rb") as read:
                shown = read_log(iter(lambda read=read: read.read(CHUNK), b""))  # type: ignore[misc]
        except OSError as error:
            raise BadInput(f"can't be read: {error.strerror}", where=str(file), do="Give a run's log files.") from error
        found += [replace(one, file=str(file), rank=int(rank[1]) if rank else None) for one in shown]
    if any(one.kind == "failure" for one in found):
        found = [one for one in found if one.kind != "echo"]
    order = {str(file): number for number, file in enumerate(logs)}
    return sorted(found, key=lambda one: (_ORDER[one.kind], one.at or "~", order[one.file], one.line))


def read_log(chunks: Iterable[bytes]) -> list[Diagnosis]:
    """What one log shows, in its order: each rule once, at its first line since training last went on."""
    scan = _Scan()
    for number, line in _lines(chunks):
        scan.take(number, line)
    return scan.end()


@dataclass
class _Scan:
    """What one log has shown so far."""

    found: dict[str, Diagnosis] = field(default_factory=dict)
    symptoms: dict[str, Diagnosis] = field(default_factory=dict)
    other: Diagnosis | None = None
    met: set[str] = field(default_factory=set)
    by: dict[str, Rule] = field(default_factory=dict)
    steps: int = 0
    row: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    traceback: deque[bytes] | None = None
    undated: bool = False

    def take(self, number: int, line: bytes) -> None:
        if _STEP in line:
            self._step(number, line)
            return
        if b"%|" in line and (bar := _BAR.match(line)):
            if line.startswith(b"Map"):
                self._match(number, bar[0])
            line = line[bar.end() :]
        if not line or line.isspace():
            return
        if b"\x1b" in line:
            line = _ANSI.sub(b"", line)
        if self.undated and (stamp := _STAMP.match(line)):
            self._date(stamp)
        if line.startswith(b"[rank") and not line.startswith(b"[rank0]:["):
            line = _RANK.sub(b"", line)
        if self.traceback is not None:
            self.traceback.append(line)
        if signs().gate.search(line):
            self._match(number, line)

    def end(self) -> list[Diagnosis]:
        for place, (first, times, line) in self.row.items():
            if times == self.steps:
                self._note(signs().steps[place][0], first, line)
        if self.other and not any(one.kind == "failure" for one in self.found.values()):
            self.found[OTHER] = self.other
        every = [*self.found.items(), *self.symptoms.items()]
        held = [one for key, one in every if self._holds(key)]
        first_of_line = {one.line: one for one in reversed(held)}
        return [first_of_line[line] for line in sorted(first_of_line)]

    def _holds(self, key: str) -> bool:
        rule = self.by.get(key)
        return rule is None or (rule.when in {"", *self.met} and rule.unless not in self.met)

    def _step(self, number: int, line: bytes) -> None:
        """Training went on: what failed before was got over."""
        self._went_on()
        self.steps += 1
        if not signs().any_step.search(line):
            self.row.clear()
            return
        for place, (rule, sign) in enumerate(signs().steps):
            if not sign.search(line):
                self.row.pop(place, None)
                continue
            first, times, shown = self.row.get(place, (number, 0, line))
            self.row[place] = first, times + 1, shown
            if times + 1 == rule.times:
                self._note(rule, first, shown)

    def _match(self, number: int, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if SUCCESS in text:
            self._went_on()
            return
        if ROW_DROPPED in text:
            self._went_on()
        if "Traceback (most" in text:
            self.traceback = deque([line], TRACEBACK)
        for when, sign in signs().whens.items():
            if when not in self.met and sign.search(line):
                self.met.add(when)
        trace = b"\n".join(self.traceback or ())
        for rule, sign in signs().lines:
            if not sign.search(line) or (rule.within and not signs().within[rule.within].search(trace)):
                continue
            self._note(rule, number, line)
            if not (rule.when or rule.unless):  # what else the log says decides between this one and the next
                break
        else:
            error = read_error(text)
            if error and not error.secondary and self.other is None:
                fix = "read the log from here on; fleet check JOB and fleet data check FILE may tell more"
                self.other = Diagnosis(OTHER, number, _short(error.text), "an error that no rule knows", fix)
                self.undated = True

    def _note(self, rule: Rule, number: int, line: bytes) -> None:
        kept = self.symptoms if rule.kind == "symptom" else self.found
        if rule.id in kept:
            return
        text = _short(line.decode("utf-8", "replace").strip())
        kept[rule.id] = Diagnosis(rule.id, number, text, rule.cause, rule.fix, rule.kind)
        self.by[rule.id] = rule
        self.undated = True
        if stamp := _STAMP.match(line):
            self._date(stamp)

    def _date(self, stamp: re.Match[bytes]) -> None:
        """A time that the log tells is that of what was found since the last one."""
        month, day, time = (one.decode() for one in stamp.groups() if one is not None)
        for kept in (self.found, self.symptoms):
            kept |= {key: replace(one, at=one.at or f"{month}-{day} {time}") for key, one in kept.items()}
        if self.other:
            self.other = replace(self.other, at=self.other.at or f"{month}-{day} {time}")
        self.undated = False

    def _went_on(self) -> None:
        self.found.clear()
        self.other = self.traceback = None


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Pieces between line ends, of which a progress bar's `\\r` is one, numbered by `\\n`."""
    number, rest = 1, b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if b"\r" in line:
                for piece in line.split(b"\r"):
                    yield number, piece
            else:
                yield number, line
            number += 1
        if len(rest) > LONGEST:
            yield number, rest
            rest = b""
    for piece in rest.split(b"\r"):
        yield number, piece


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
