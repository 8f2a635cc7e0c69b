from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from data_cases import ASKED, BAD, FINE, GOOD, Case, lines, talk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.findings import ok, together
from training.swift.data.check import check_file, check_files, task_of
from training.swift.data.tasks import TASKS


def written(case: Case, folder: Path) -> Path:
    file = folder / f"{case.name}{case.ending}"
    file.write_bytes(case.data)
    return file


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_file_has_nothing_said_of_it(case: Case, tmp_path: Path) -> None:
    report = check_file(written(case, tmp_path), case.task)
    assert report.findings == () and report.rows == report.kept == case.kept


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_bad_row_is_named_by_file_line_and_what_becomes_of_it(case: Case, tmp_path: Path) -> None:
    file = written(case, tmp_path)
    report = check_file(file, case.task)
    said = {
        one.where.removeprefix(str(file)).split()[:1][0] if one.where != str(file) else "": one
        for one in report.findings
    }
    for line, part in case.said.items():
        found = [
            one.what
            for one in report.findings
            if (one.where == str(file) if not line else f"{file}:{line}" in one.where)
        ]
        assert any(part in what for what in found), (line, said)
    named = {int(at[1]) for one in report.findings if (at := re.match(r":(\d+)", one.where.removeprefix(str(file))))}
    assert named == set(case.said) - {0}
    assert all(one.fix for one in report.findings)


@pytest.mark.parametrize("line", [b"x" * 3000 + b"\n", lines(FINE)[:-1] + b" " * 3000])
def test_a_row_is_found_whole_wherever_pieces_are_cut(
    line: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.swift.data.reading.PIECE", 700)
    monkeypatch.setattr("training.swift.data.scan.PIECE", 700)
    monkeypatch.setattr("training.swift.data.scan.STRETCH", 2000)
    monkeypatch.setattr("training.swift.data.scan.SMALL", 0)
    file = tmp_path / "d.jsonl"
    file.write_bytes(lines(*[FINE] * 30, ASKED, *[FINE] * 30) + line)
    report = check_file(file, "sft")
    assert [one.where for one in report.findings if "needs an assistant" in one.what] == [f"{file}:31 messages"]
    assert report.rows == 61 + (b"{" in line)


def test_a_kind_is_told_twenty_times_and_then_counted(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(lines(*[ASKED] * 1000))
    *told, rest = check_file(file, "sft").findings
    assert len(told) == 20 and "980 more rows as line 1: last message is from user" in rest.what


def test_a_list_of_any_length_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    rows = [talk(("user", '[{"}]\\' * 40), ("assistant", "é" * 50)) for _ in range(9000)]
    file.write_text(json.dumps([*rows, ASKED], ensure_ascii=False, indent=1))
    report = check_file(file, "sft")
    assert report.rows == 9001 and [one.what[:25] for one in report.findings] == ["last message is from user"]
    assert (
        json.loads(file.read_text().split("\n", int(report.findings[0].where.split(":")[1].split()[0]) - 1)[-1][:-1])
        == ASKED
    )


def test_parquet_is_read_with_pyarrow(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    file = tmp_path / "d.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([FINE, FINE, ASKED]), file)
    report = check_file(file, "sft")
    assert report.rows == 3 and [one.where for one in report.findings] == [f"{file}:3 messages"]
    file.write_bytes(b"PAR1 nothing")
    assert "binary, no text (no Parquet" in check_file(file, "sft").findings[0].what


@pytest.mark.parametrize(
    ("args", "rows", "said"),
    [
        ({"max_length": 3}, [FINE], "about 1 of 1 rows are longer than max_length 3"),
        ({"per_device_train_batch_size": 2}, [FINE] * 3, "3 rows are fewer than one batch over all ranks, 8"),
        ({"global_batch_size": 16}, [FINE] * 3, "3 rows are fewer than one batch over all ranks, 16"),
        ({"columns": {"a": "query", "b": "response"}}, [{"a": "q", "b": "a"}] * 4, ""),
        ({"strict": False}, [FINE] * 4 + [talk(("usr", "q"))], "role 'usr' is unknown"),
    ],
)
def test_DATA_10_a_jobs_files_are_looked_at_by_path_and_as_its_arguments_say(
    args: dict[str, Any], rows: list[Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "d.jsonl").write_bytes(lines(*rows))
    named = "d.jsonl#500" if "columns" in args else "d.jsonl"
    found = check_files({"dataset": [named], **args}, "sft", tmp_path, ranks=4)
    assert ok(found) and "; ".join(one.what for one in found).startswith(said) and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("name", "use_hf", "severity", "fix"),
    [
        ("AI-ModelScope/alpaca-gpt4-data-zh#500", False, None, ""),
        ("llm-wizard/alpaca-gpt4-data-zh", True, None, ""),
        ("llm-wizard/alpaca-gpt4-data-zh", False, "warning", "AI-ModelScope/alpaca-gpt4-data-zh, or use_hf true"),
        (
            "AI-ModelScope/alpaca-gpt4-data-zh:default",
            True,
            "warning",
            "llm-wizard/alpaca-gpt4-data-zh, or use_hf false",
        ),
        ("hf::AI-ModelScope/alpaca-gpt4-data-zh", False, "warning", "llm-wizard/alpaca-gpt4-data-zh, or use_hf false"),
        ("iic/ms_bench", True, "warning", "use_hf false"),
        ("somebody/something-new", True, None, ""),
        ("no hub id", False, "error", "write owner/name or a path"),
        ("/data/on/the/nodes.jsonl", False, None, ""),
    ],
)
def test_DATA_11_a_hub_id_is_held_to_the_hub_that_the_job_asks(
    name: str, use_hf: bool, severity: str | None, fix: str, tmp_path: Path
) -> None:
    found = check_files({"dataset": name, "use_hf": use_hf}, "sft", tmp_path)
    assert [(one.severity, one.fix) for one in found] == ([(severity, fix)] if severity else [])


def test_the_task_is_that_of_the_command() -> None:
    assert task_of("rlhf", {"rlhf_type": "kto"}) == "kto" and task_of("sft", {"task_type": "reranker"}) == "reranker"
    assert task_of("megatron pt", {}) == "pt" and task_of("infer", {}) is None


def test_the_command_ends_with_2_where_something_is_wrong_and_says_the_same_to_programs(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(lines(FINE, ASKED))

    def said(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from training.cli import main; main()", "data", "check", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    wrong = said(file, "--task", "sft", "--json")
    (finding,) = json.loads(wrong.stdout)["findings"]
    assert wrong.returncode == 2 and finding["where"] == f"{file}:2 messages" and finding["severity"] == "error"
    assert said(file, "--task", "gkd").returncode == 0
    assert "Did you mean grpo?" in said(file, "--task", "gprpo").stderr
    absent = said(tmp_path / "none.jsonl", file, "--task", "gkd")
    assert absent.returncode == 2 and "none.jsonl  can't be read" in absent.stdout and "2 rows" in absent.stdout


def test_one_line_tells_of_all_rows_with_the_same_error_and_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(lines(*[ASKED] * 1200, FINE))
    (one,) = together(check_file(file, "sft").findings)
    assert one.where == f"{file}:1 messages" and one.what.endswith("(1,200 rows: lines 1, 2, 3, 4, 5, ...)")
    file.write_bytes(lines(FINE, FINE) + b"{broken\n")
    report = check_file(file, "sft")
    assert (report.rows, report.kept) == (2, 0) and together(report.findings) == list(report.findings)


INNER = ["role", "content", "from", "value", "type", "text", "image", "tool_calls", "bbox", "ref", "human", "gpt"]
OUTER = [
    *(
        "messages",
        "conversations",
        "query",
        "prompt",
        "response",
        "instruction",
        "input",
        "output",
        "system",
        "history",
    ),
    *("rejected_response", "rejected_messages", "positive_messages", "negative_messages", "label", "margin"),
    *("images", "tools", "objects", "solution"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from(OUTER), JSON, max_size=5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ROWS | JSON, max_size=4), junk=st.binary(max_size=30), task=st.sampled_from(sorted(TASKS)),
       ending=st.sampled_from([".jsonl", ".json", ".csv", ".txt", ".parquet"]))  # fmt: skip
def test_no_data_is_too_odd(rows: list[Any], junk: bytes, task: str, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"d{ending}"
    for data in (lines(*rows), json.dumps(rows).encode(), lines(*rows) + junk, junk):
        file.write_bytes(data)
        check_file(file, task)


TEXT = st.none() | st.text(max_size=2)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "human", "usr"]), "content": TEXT}),
    max_size=3,
)
MAYBE = {"rejected_response": TEXT, "label": st.none() | st.booleans(), "x": JSON}
TALKS = st.fixed_dictionaries({"messages": TURNS}, optional=MAYBE)
PAIRS = st.fixed_dictionaries({}, optional={"prompt": TEXT, "answer": JSON, "system": JSON})


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(TALKS, min_size=1, max_size=4) | st.lists(PAIRS, min_size=1, max_size=4),
    task=st.sampled_from(sorted(TASKS)),
)
def test_what_is_taken_for_plain_is_right_looked_at_closely_too(
    rows: list[Any], task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "d.jsonl"
    file.write_bytes(lines(*rows))
    quickly = check_file(file, task)
    with monkeypatch.context() as patched:
        patched.setattr("training.swift.data.scan.plain", lambda columns, task: None)
        assert check_file(file, task) == quickly
