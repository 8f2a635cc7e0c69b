"""One data file -> what is wrong with it, and its figures: on all cores, a few pieces of it in memory at a time."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from training.swift.data import problems as p
from training.swift.data import reading
from training.swift.data.columns import Columns, columns_of
from training.swift.data.plain import plain
from training.swift.data.problems import Kind, Problem
from training.swift.data.reading import HEAD, PIECE, Row, Rows, Unreadable
from training.swift.data.tasks import TASKS, Media, of_row
from training.swift.data.turns import Dropped, kind_of, messages_of

ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet")
#: Places that are kept of a kind of problem; beyond them it is counted.
PLACES = 20
#: Bytes that one process reads at a time, in pieces: fewer, and handing them out would cost more than reading them.
STRETCH = 16 << 20
#: A file up to that is read here, without the cost of other processes.
SMALL = 8 << 20
#: Bytes of UTF-8 to a token, as training.swift.rows counts them.
BYTES_A_TOKEN = 3.5


@dataclass(frozen=True)
class Asked:
    """How a file is to be looked at. task: of TASKS. columns: the job's own. most: bytes of it that are read."""

    task: str
    media: Media
    columns: tuple[tuple[str, str], ...] = ()
    mapped: bool = True
    max_tokens: int | None = None
    most: int | None = None


@dataclass
class Tally:
    """What was seen: counts, and the first places of each kind. lines: how many, so that pieces can be put together."""

    rows: int = 0
    lost: int = 0
    lines: int = 0
    longest: int = 0
    long: int = 0
    counts: dict[Kind, int] = field(default_factory=dict)
    places: dict[Kind, list[tuple[int, Problem]]] = field(default_factory=dict)

    def seen(self, size: int, max_tokens: int | None) -> None:
        """A row of so many bytes."""
        self.rows += 1
        self.longest = max(self.longest, int(size / BYTES_A_TOKEN))
        self.long += bool(max_tokens and size > max_tokens * BYTES_A_TOKEN)

    def note(self, line: int, problem: Problem) -> None:
        self.counts[problem.kind] = self.counts.get(problem.kind, 0) + 1
        places = self.places.setdefault(problem.kind, [])
        if len(places) < PLACES:
            places.append((line, problem))

    def add(self, piece: Tally) -> None:
        """piece: of what follows; its lines are numbered from 1."""
        for kind, places in piece.places.items():
            kept = self.places.setdefault(kind, [])
            kept += [(self.lines + line, problem) for line, problem in places[: PLACES - len(kept)]]
            self.counts[kind] = self.counts.get(kind, 0) + piece.counts[kind]
        self.rows += piece.rows
        self.lost += piece.lost
        self.long += piece.long
        self.longest = max(self.longest, piece.longest)
        self.lines += piece.lines


@dataclass(frozen=True)
class Scanned:
    """columns: None where none could be read. whole: whether all of the file was read."""

    file: Path
    columns: Columns | None
    tally: Tally
    whole: bool = True


def scan(file: Path, asked: Asked) -> Scanned:
    """Looks at all rows of a file, or at those of its first `asked.most` bytes."""
    tally = Tally()
    if file.suffix not in ENDINGS:
        tally.note(0, Problem(p.ENDING, "", file.suffix or "a name without an ending"))
        return Scanned(file, None, tally)
    size = file.stat().st_size
    if not size:
        tally.note(0, Problem(p.EMPTY))
        return Scanned(file, None, tally)
    wrong = None if file.suffix == ".parquet" else reading.no_text(file)
    if wrong:
        tally.note(1, wrong)
        return Scanned(file, None, tally)
    end = min(size, asked.most or size)
    by_lines = reading.is_lines(file)
    names, broken = reading.columns_until(file, min(end, HEAD)) if file.suffix != ".txt" and by_lines else None, None
    if not names:
        names, broken = _columns(reading.rows_until(file, min(end, HEAD)) if by_lines else reading.whole(file))
    judge = _Judge(columns_of(names, dict(asked.columns), mapped=asked.mapped), asked)
    if not names:
        tally.note(*(broken or (0, Problem(p.EMPTY))))
        return Scanned(file, None, tally)
    if not by_lines:
        judge.take(_capped(reading.whole(file), asked.most), tally)
    elif end > SMALL:
        _side_by_side(file, end, judge.columns, asked, tally)
    else:
        judge.lines(reading.block(file, 0, end), file.suffix == ".txt", tally)
    return Scanned(file, judge.columns, tally, end == size)


def _columns(rows: Rows) -> tuple[set[str], tuple[int, Problem] | None]:
    """The columns of the rows that the loader reads first, and what is wrong with the first that can't be read."""
    names: set[str] = set()
    broken: tuple[int, Problem] | None = None
    read = 0
    try:
        for one in rows:
            if not isinstance(one, Row):
                broken = broken or one
                if one[1].kind in (p.BINARY, p.HUGE, p.ENCODING):
                    break
                continue
            if isinstance(one.value, dict):
                names.update(one.value)
            else:
                broken = broken or (one.line, Problem(p.NOT_ROW, "", kind_of(one.value)))
            read += one.size
            if read > HEAD:
                break
    except Unreadable as error:
        broken = broken or (error.line, error.problem)
    return names, broken


def _capped(rows: Rows, most: int | None) -> Rows:
    read = 0
    for one in rows:
        yield one
        read += one.size if isinstance(one, Row) else 0
        if most and read > most:
            return


def _side_by_side(file: Path, end: int, columns: Columns, asked: Asked, tally: Tally) -> None:
    """Stretches of the file in as many processes as there are cores, put together in their order."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        going: deque[Future[Tally]] = deque()
        for begin in range(0, end, STRETCH):
            going.append(pool.submit(_stretch, file, begin, min(begin + STRETCH, end), columns, asked))
            if len(going) > 2 * cores:
                tally.add(going.popleft().result())
        while going:
            tally.add(going.popleft().result())


def _stretch(file: Path, begin: int, end: int, columns: Columns, asked: Asked) -> Tally:
    gc.disable()  # rows hold no cycles, and there are many
    tally, judge = Tally(), _Judge(columns, asked)
    for at in range(begin, end, PIECE):
        piece = Tally(longest=tally.longest)
        judge.lines(reading.block(file, at, min(at + PIECE, end)), file.suffix == ".txt", piece)
        tally.add(piece)
    return tally


class _Judge:
    """Judges rows; how a row of a shape (its keys, in order) is read is worked out once."""

    def __init__(self, columns: Columns, asked: Asked) -> None:
        self.columns, self.asked, self.task = columns, asked, TASKS[asked.task]
        self.shapes: dict[tuple[str, ...], Mapping[str, str]] = {}
        self.plain = plain(columns, asked.task)
        self.has_rejected = "rejected_response" in columns.known()

    def lines(self, data: memoryview, text: bool, tally: Tally) -> None:
        """Judges the lines of a piece; most are of plain rows alone, which are parsed and judged at once."""
        rows = None if text or not self.plain or self.asked.max_tokens else self.plain.rows(data)
        whole = bytes(data)
        tally.lines = whole.count(b"\n")
        if rows is not None and reading.one_a_line(rows, whole, tally.lines):
            longest = reading.longest_line(whole, int(tally.longest * BYTES_A_TOKEN))
            tally.longest = max(tally.longest, int(longest / BYTES_A_TOKEN))
            tally.rows += rows
            return
        for number, line in enumerate(whole.split(b"\n"), 1):
            if line and self.plain and not text and self.plain.rows(line) == 1:
                tally.seen(len(line), self.asked.max_tokens)
                continue
            last = number > tally.lines
            self.take(reading.read_line(number, line, text=text, last=last), tally)

    def take(self, rows: Rows, tally: Tally) -> None:
        try:
            for one in rows:
                if isinstance(one, Row):
                    self._row(one, tally)
                else:
                    tally.note(*one)
        except Unreadable as error:
            tally.note(error.line, error.problem)

    def _row(self, row: Row, tally: Tally) -> None:
        tally.seen(row.size, self.asked.max_tokens)
        value = row.value
        if not isinstance(value, dict):
            tally.note(row.line, Problem(p.NOT_ROW, "", kind_of(value)))
            return
        shape = tuple(value)
        renamed = self.shapes.get(shape)
        if renamed is None:
            renamed = self._shape(row.line, shape, tally)
        if renamed:
            value = {renamed.get(key, key): one for key, one in value.items()}
        if self.has_rejected and "rejected_response" not in value:
            value["rejected_response"] = None  # a column that other rows have is null in this one
        lost = False
        try:
            turns = messages_of(value, self.columns.format)
            for problem in of_row(value, turns, self.task, self.asked.media):
                tally.note(row.line, problem)
                lost = lost or problem.kind.lost
        except Dropped as dropped:
            tally.note(row.line, dropped.problem)
            lost = True
        tally.lost += lost

    def _shape(self, line: int, shape: tuple[str, ...], tally: Tally) -> Mapping[str, str]:
        late = [name for name in shape if name not in self.columns.names]
        if late and len(self.shapes) < 1000:
            tally.note(line, Problem(p.LATE, late[0], late[0]))
        renamed = {key: new for key, new in self.columns.renamed.items() if key in shape}
        if len(self.shapes) < 1000:
            self.shapes[shape] = renamed
        return renamed
