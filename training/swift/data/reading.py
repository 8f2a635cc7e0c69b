"""Data files -> their rows with line numbers, a piece at a time: never more of a file in memory than a piece.

JSON lines are read from any byte on, so that several processes share a file; a JSON list, CSV and Parquet from the
beginning. What ms-swift's loader (datasets 4.8, pyarrow) takes is taken: a BOM, blank lines, NaN, two objects a line.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from training.swift.data import problems as p
from training.swift.data.problems import Problem

#: What the loader reads first, and takes a file's columns from (datasets, JsonConfig.chunksize).
HEAD = 10 << 20
#: Small enough for a core's cache.
PIECE = 1 << 18
#: Read with a piece, for the end of its last line.
SLACK = 1 << 13
#: A line longer than that is not read.
LONGEST = 64 << 20
_BOM = b"\xef\xbb\xbf"
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|["\[\]{},]', re.DOTALL)
_SEPARATORS = re.compile(rb"[\s,]*")


@dataclass(frozen=True)
class Row:
    """value: as it is read, so whatever stands there. size: bytes of it in the file."""

    line: int
    value: Any
    size: int


class Unreadable(Exception):
    """From here on nothing of the file can be read."""

    def __init__(self, problem: Problem, line: int = 0) -> None:
        super().__init__(problem.kind.name)
        self.problem, self.line = problem, line


_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
Rows = Iterator[Row | tuple[int, Problem]]


def is_lines(file: Path) -> bool:
    """Whether it is read a line a row, and so from anywhere; of JSON not a list, nor rows over several lines."""
    if file.suffix not in (".jsonl", ".json"):
        return file.suffix == ".txt"
    with file.open("rb") as read:
        head = read.read(100).removeprefix(_BOM)
    return not head.startswith(b"[") and head.split(b"\n")[0].strip() != b"{"


def no_text(file: Path) -> Problem | None:
    """What the first bytes of a file that should be text say against that."""
    with file.open("rb") as read:
        head = read.read(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem(p.ENCODING, "", "UTF-16")
    return Problem(p.BINARY, "", "it holds zero bytes") if b"\0" in head else None


def block(file: Path, begin: int, end: int) -> memoryview:
    """The lines that begin in [begin, end): let that be about PIECE. Read once, and not copied."""
    with file.open("rb", buffering=0) as read:
        first = max(0, begin - 1)
        read.seek(first)
        data = read.read(end - first + SLACK)
        start = data.find(b"\n", 0, end - first) + 1 if begin else 0
        if begin and not start:
            return memoryview(b"")
        stop = data.find(b"\n", end - first - 1) + 1
        while not stop and len(data) - start <= LONGEST and (more := read.read(PIECE)):
            stop = more.find(b"\n") + 1 + (len(data) if b"\n" in more else 0)
            data += more
        return memoryview(data)[start : stop or len(data)]


def columns_until(file: Path, end: int) -> set[str] | None:
    """The columns of the rows that begin before a byte; None where these lines are not all JSON objects."""
    names: set[str] = set()
    try:
        for begin in range(0, end, PIECE):
            lines = bytes(block(file, begin, min(begin + PIECE, end)))
            rows = _COLUMNS.decode_lines(lines)
            if not one_a_line(len(rows), lines, lines.count(b"\n")):
                return None
            for row in rows:
                names.update(row)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return names


def one_a_line(rows: int, lines: bytes, ends: int) -> bool:
    """Whether no row goes over several lines; may say so also where blank lines are about, which costs time only."""
    return rows >= ends or rows >= ends - lines.count(b"\n\n")


def longest_line(data: bytes, least: int) -> int:
    """The length of the longest line, or `least`. Leaps over what is shorter: a few calls instead of one a line."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + least + 1)
        if end < 0:
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            least = max(least, end - at)
        at = end + 1
    return least


def rows_until(file: Path, end: int) -> Rows:
    """The rows of the lines that begin before a byte, a piece at a time."""
    number = 0
    for begin in range(0, end, PIECE):
        lines = bytes(block(file, begin, min(begin + PIECE, end))).split(b"\n")
        for at, line in enumerate(lines, 1):
            yield from read_line(number + at, line, text=file.suffix == ".txt", last=at == len(lines))
        number += len(lines) - 1


def read_line(number: int, line: bytes, *, text: bool = False, last: bool = False) -> Rows:
    """The row of a line; rarely several, or what is wrong with it. text: the line is itself the row, as in a .txt file.
    last: nothing comes after it, not even a line end."""
    if text:
        yield from _text_line(number, line, last)
        return
    try:
        yield Row(number, msgspec.json.decode(line), len(line))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        yield from _hard_line(number, line, error, last)


def _hard_line(number: int, line: bytes, error: Exception, last: bool) -> Rows:
    """What msgspec refuses and the loader's own parser may take."""
    if not line.strip(b" \t\r\v\f"):
        return
    if len(line) >= LONGEST:
        yield number, Problem(p.HUGE, "", f"{LONGEST >> 20} MiB")
        return
    if b"\0" in line:
        yield number, Problem(p.BINARY, "", "it holds zero bytes; UTF-16?")
        return
    try:
        text = line.removeprefix(_BOM).decode()
    except UnicodeDecodeError as wrong:
        yield number, Problem(p.ENCODING, "", f"byte 0x{line[wrong.start]:02x}")
        return
    decoder, at, found = json.JSONDecoder(), 0, []
    try:
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            value, at = decoder.raw_decode(text, at)
            found.append(value)
    except (ValueError, RecursionError):
        kind = p.TRUNCATED if last else p.NOT_JSON
        yield number, Problem(kind, "", str(error)[:80])
        return
    yield from (Row(number, value, len(line)) for value in found)


def _text_line(number: int, line: bytes, last: bool) -> Rows:
    try:
        if line or not last:
            yield Row(number, {"text": line.decode()}, len(line))
    except UnicodeDecodeError as error:
        yield number, Problem(p.ENCODING, "", f"byte 0x{line[error.start]:02x}")


def whole(file: Path) -> Rows:
    """Rows of a file that can only be read from its beginning. Raises Unreadable."""
    readers: dict[str, Callable[[Path], Rows]] = {".csv": _csv, ".parquet": _parquet}
    return readers.get(file.suffix, _json_list)(file)


def _json_list(file: Path) -> Rows:
    """The elements of `[...]`, or objects one after the other, cut out by their brackets: so a list of any length."""
    with file.open("rb") as read:
        data, line = read.read(1 << 20).removeprefix(_BOM), 1
        listed = data.startswith(b"[")
        at = int(listed)
        while True:
            found = _SEPARATORS.match(data, at)
            begin = found.end() if found else at
            line += data.count(b"\n", at, begin)
            if listed and data[begin : begin + 1] == b"]":
                break
            end = _end(data, begin)
            if end is not None:
                yield from _element(line, data[begin:end])
                line += data.count(b"\n", begin, end)
                at = end
                continue
            more = read.read(max(1 << 20, len(data) - begin))
            if not more and not listed and begin == len(data):
                return
            if not more or len(data) - begin > LONGEST:
                problem = Problem(p.HUGE, "", f"{LONGEST >> 20} MiB") if more else Problem(p.TRUNCATED)
                raise Unreadable(problem, line)
            data, at = data[begin:] + more, 0
        if (data[begin + 1 :] + read.read(1000)).strip():
            raise Unreadable(Problem(p.NOT_JSON, "", "more after the list"), line)


def _element(line: int, data: bytes) -> Rows:
    for one in read_line(line, data):
        if isinstance(one, Row) and isinstance(one.value, str):
            yield Row(line, {"text": one.value}, one.size)
        else:
            yield one


def _end(data: bytes, begin: int) -> int | None:
    """Where the JSON value that begins there ends; None if that is not in `data`."""
    depth = 0
    for found in _TOKENS.finditer(data, begin):
        sign = found[0]
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
            if depth <= 0:
                return found.end() if depth == 0 else found.start()
        elif sign == b'"':
            return None
        elif depth == 0:
            return found.start() if sign == b"," else found.end()
    return None


def _csv(file: Path) -> Rows:
    csv.field_size_limit(LONGEST)
    try:
        with file.open(encoding="utf-8-sig", newline="") as read:
            rows = csv.DictReader(read)
            for row in rows:
                if None in row:
                    raise Unreadable(Problem(p.CSV, "", "more fields than the first line names"), rows.line_num)
                yield Row(rows.line_num, row, sum(len(one or "") for one in row.values()))
    except UnicodeDecodeError as error:
        raise Unreadable(Problem(p.ENCODING, "", f"byte 0x{error.object[error.start]:02x}")) from error
    except csv.Error as error:
        raise Unreadable(Problem(p.CSV, "", str(error))) from error


def _parquet(file: Path) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unreadable(
            Problem(p.NO_READER, "", "Parquet needs pyarrow: pip install 'swift-fleet[parquet]'")
        ) from error
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=1000):
            for value in batch.to_pylist():
                number += 1
                yield Row(number, value, len(str(value)))
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(Problem(p.BINARY, "", f"no Parquet: {str(error).splitlines()[0][:80]}")) from error
