"""What is wrong with data files, as findings: for `fleet data check`, and for the data that a job names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.findings import Finding
from training.swift.data import problems as p
from training.swift.data.columns import Columns
from training.swift.data.problems import Problem
from training.swift.data.scan import Asked, Scanned, scan
from training.swift.data.tasks import TASKS, Media

#: Of a job's data so much is read before it starts; `fleet data check` reads all.
MOST = 64 << 20
#: Arguments with which a job brings its own way to read data.
OWN_READING = ("custom_dataset_info", "custom_register_path")


@dataclass(frozen=True)
class Report:
    """One file. rows, kept: read, and left of them to ms-swift. longest: tokens of its longest row, by its bytes."""

    file: str
    format: str | None
    rows: int
    kept: int
    longest: int
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        names = ("file", "format", "rows", "kept", "longest")
        return {name: getattr(self, name) for name in names}


def check_file(file: Path, task: str, base: Path | None = None) -> Report:
    """All of a file for a task of TASKS. base: where relative paths of media go from; by default the folder we are in.

    Raises OSError where the file can't be opened.
    """
    return _report(scan(file, Asked(task, Media(base or Path.cwd()))), Asked(task, Media(Path())), str(file))


def check_files(args: Mapping[str, Any], task: str, folder: Path, ranks: int | None = None) -> list[Finding]:
    """The data that a job's `dataset` and `val_dataset` name: files in `folder` by their rows, else hub ids by name.

    task: of TASKS. ranks: that train side by side, where it is known. A file that isn't here may be on the nodes.
    """
    if any(args.get(name) for name in OWN_READING):
        return [Finding("note", "args.dataset", "not looked into: the job brings its own way to read data")]
    from training.swift.data.hub import check_id

    found: list[Finding] = []
    kept, whole = 0, True
    for name in ("dataset", "val_dataset"):
        for given in _listed(args.get(name)):
            file, other = _named(given, folder)
            if file:
                report = _of_job(file, _asked(args, task, folder), _shown(given))
                found += report.findings
                counts = name == "dataset"
                kept += report.kept if counts else 0
                whole = whole and (not counts or file.stat().st_size <= MOST) and "#" not in given
            else:
                whole = False
                found += check_id(other, f"args.{name}", use_hf=_on_hugging_face(given, args)) if other else []
    if ranks and whole and kept:
        found += _few(args, kept, ranks)
    lenient = str(args.get("strict", "")).lower() == "false"
    return [_lenient(one) for one in found] if lenient else found


def _of_job(file: Path, asked: Asked, shown: str) -> Report:
    """Read once, though a command may check its job twice."""
    stat = file.stat()
    return _report(_scanned(file, stat.st_mtime_ns, stat.st_size, asked), asked, shown)


@lru_cache(maxsize=64)
def _scanned(file: Path, changed: int, size: int, asked: Asked) -> Scanned:
    return scan(file, asked)


def task_of(trainer_command: str, args: Mapping[str, Any]) -> str | None:
    """The task of `swift rlhf` and its args; None where its data is none of TASKS."""
    command = trainer_command.split()[-1]
    if command == "rlhf":
        named = str(args.get("rlhf_type", "dpo"))
    elif command in ("sft", "pt"):
        named = str(args.get("task_type", "causal_lm"))
        named = command if named == "causal_lm" else named
    else:
        return None
    return named if named in TASKS else None


def _report(scanned: Scanned, asked: Asked, shown: str) -> Report:
    tally, columns = scanned.tally, scanned.columns
    found = [*_of_columns(columns, asked.task, shown)] if columns else []
    without = {p.NO_TURN, p.NO_ANSWER, p.NO_USER} if any(one.severity == "error" for one in found) else set()
    for kind, places in tally.places.items():
        if kind in without:
            continue
        found += [_finding(shown, line, problem) for line, problem in places]
        if more := tally.counts[kind] - len(places):
            again = "1 more row" if more == 1 else f"{more:,} more rows"
            found.append(
                Finding(kind.severity, shown, f"{again} as line {places[0][0]}: {_said(places[0][1])}", kind.fix)
            )
    kept = tally.rows - tally.lost
    if tally.rows and not kept:
        found.append(_finding(shown, 0, Problem(p.NOTHING_LEFT, "", f"{tally.rows:,}")))
    if tally.long:
        many = (
            f"about {tally.long:,} of {tally.rows:,} rows are longer than max_length {asked.max_tokens}, by their bytes"
        )
        found.append(_finding(shown, 0, Problem(p.LONG, "", many)))
    if not scanned.whole:
        what = f"only the first {MOST >> 20} MiB were looked at"
        found.append(Finding("note", shown, what, "fleet data check reads all"))
    kept = 0 if p.UNLOADABLE & tally.counts.keys() else kept
    return Report(shown, columns.format if columns else None, tally.rows, kept, tally.longest, tuple(found))


def _of_columns(columns: Columns, task: str, shown: str) -> Iterator[Finding]:
    """Two columns for one role, and columns that say nothing at all."""
    known = columns.known()
    for new, olds in columns.clashes.items():
        if columns.format == "alpaca" and (new == "query" or "output" in olds):
            continue  # instruction and input are both meant, and output is taken by its own name
        if new == "response" and task in ("ppo", "grpo"):
            continue  # answers are generated; these columns go to the reward functions
        if new in columns.names:
            others = [old for old in olds if old not in (new, "solution")]
            if others:
                said = p.CLASH_BESIDE.what.replace("{}", " and ".join(others), 1).replace("{}", new, 1)
                yield Finding("warning", shown, said, p.CLASH_BESIDE.fix)
            continue
        yield Finding("error", shown, p.CLASH.what.format(f"{' and '.join(olds)} would both be {new}"), p.CLASH.fix)
    needed = {"messages"} if columns.format == "messages" else {"query", "response", "history", "system"}
    if columns.format != "alpaca" and not known & needed and not columns.clashes:
        yield Finding("error", shown, p.UNKNOWN.what.format(", ".join(sorted(columns.names))[:100]), p.UNKNOWN.fix)


def _finding(shown: str, line: int, problem: Problem) -> Finding:
    where = f"{shown}:{line}" if line else shown
    return Finding(
        problem.kind.severity,
        f"{where} {problem.field}".rstrip(),
        _said(problem),
        _filled(problem.kind.fix, problem.detail, last=True),
    )


def _said(problem: Problem) -> str:
    return _filled(problem.kind.what, problem.detail)


def _filled(text: str, detail: str, *, last: bool = False) -> str:
    """`{}` of a text by the parts of a detail, which are cut at `|`."""
    blanks = text.count("{}")
    if not blanks:
        return text
    parts = detail.split("|", 1) if "|" in detail else [detail]
    given = parts[-1:] if last else [*parts, ""][:blanks]
    for one in given:
        text = text.replace("{}", one, 1)
    return text


def _few(args: Mapping[str, Any], rows: int, ranks: int) -> Iterator[Finding]:
    if "global_batch_size" in args or "micro_batch_size" in args:
        batch = _int(args.get("global_batch_size"), 16)
    else:
        a_rank = _int(args.get("per_device_train_batch_size"), 1)
        batch = ranks * a_rank * _int(args.get("gradient_accumulation_steps"), 1)
    if rows < batch:
        said = f"{rows:,} rows are fewer than one batch over all ranks, {batch:,}"
        yield Finding("warning", "args.dataset", said, p.FEW.fix)


def _lenient(one: Finding) -> Finding:
    """With `strict: false` said outright, rows that are dropped are dropped."""
    if one.severity == "error" and ("the row is dropped" in one.what or "can't be tokenized" in one.what):
        return Finding("warning", one.where, one.what, one.fix)
    return one


def _asked(args: Mapping[str, Any], task: str, folder: Path) -> Asked:
    columns = args.get("columns")
    return Asked(
        task,
        Media(folder, here=False),
        columns=tuple(columns.items()) if isinstance(columns, dict) else (),
        mapped=str(args.get("disable_auto_column_mapping", "")).lower() != "true",
        max_tokens=_int(args.get("max_length"), 0) or None,
        most=MOST,
    )


def _named(given: str, folder: Path) -> tuple[Path | None, str]:
    """The file that a dataset argument names, else a hub id, else ("" with None) a path of the nodes or a folder."""
    bare = given.split("::", 1)[1] if given.startswith(("hf::", "ms::")) else given
    for text in (given, bare, bare.rsplit("#", 1)[0]):
        path = folder / Path(text).expanduser()
        if path.is_file():
            return path, ""
        if path.is_dir():
            return None, ""
    name = bare.rsplit("#", 1)[0].split(":", 1)[0]
    elsewhere = name.startswith(("/", "~", ".", "{")) or Path(name).suffix in (
        ".jsonl",
        ".json",
        ".csv",
        ".txt",
        ".parquet",
    )
    return None, "" if elsewhere else name


def _on_hugging_face(given: str, args: Mapping[str, Any]) -> bool:
    if given.startswith(("hf::", "ms::")):
        return given.startswith("hf::")
    said = args.get("use_hf", os.environ.get("USE_HF", ""))
    return str(said).lower() in ("true", "1")


def _shown(given: str) -> str:
    return given.split("#")[0] if "#" in given else given


def _listed(given: Any) -> list[str]:
    return [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)] if given else []


def _int(given: Any, default: int) -> int:
    try:
        return int(given)
    except (TypeError, ValueError):
        return default
