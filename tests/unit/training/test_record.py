from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import BadInput
from training.record import Record, Request, Stage
from training.run import Checkpoint, LogLines, Note, World

AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
REQUEST = Request("run-7f3a", "/jobs/job.yaml", "stack", "dev")


@pytest.mark.parametrize(
    ("changed", "stays"),
    [({}, False), ({"fleet_was_up": True}, True), ({"keep": True}, True), ({"source": "hosts"}, True)],
)
def test_a_fleet_that_the_run_did_not_make_or_was_asked_to_keep_stays(changed: dict, stays: bool) -> None:
    assert Request(**{**REQUEST.__dict__, **changed}).leaves_up is stays


def test_a_request_is_known_after_a_restart_and_asked_twice_is_one(tmp_path: Path) -> None:
    Record(tmp_path).begin(REQUEST, AT)
    Record(tmp_path).begin(Request("run-7f3a", "/other.yaml", "local", "local"), AT)
    assert Record(tmp_path).request("run-7f3a") == REQUEST
    assert Record(tmp_path).request("run-0000") is None


def test_runs_are_listed_newest_first_with_where_they_are(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for number, offset in (("1", 0.0), ("3", 60.0), ("2", 0.5)):
        record.begin(Request(f"run-{number}", "", "local", "local"), AT + timedelta(seconds=offset))
    record.state("run-2", "train")
    assert [(one.run_id, state) for one, _, state in record.runs()] == [
        ("run-3", "plan"),
        ("run-2", "train"),
        ("run-1", "plan"),
    ]
    assert record.latest() == "run-3"


def test_where_nothing_ran_there_is_no_newest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run is recorded here"):
        Record(tmp_path).latest()


def test_events_come_back_as_they_were_in_their_order_and_by_run(tmp_path: Path) -> None:
    record = Record(tmp_path)
    events = [Stage(AT, "up", "started"), Note(AT, "x", 1), World(AT, 2), Checkpoint(AT, "/c"), Stage(AT, "up", "done")]
    for event in events:
        record.add("run-1", event)
        record.add("run-2", Note(AT, "other"))
    assert list(Record(tmp_path).events("run-1")) == events


def test_log_lines_are_not_kept_twice(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.add("run-1", LogLines(AT, 0, 1, ("line",)))
    assert list(record.events("run-1")) == []
