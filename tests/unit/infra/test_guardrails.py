from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from infra.ends import parse_at
from infra.guardrails import at, right_to_terminate, schedule_name

MOMENTS = st.datetimes(
    datetime(2000, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.integers(-720, 720).map(lambda m: timezone(timedelta(minutes=m))),
)


def test_the_schedule_speaks_utc() -> None:
    moment = datetime(2026, 11, 24, 19, 45, tzinfo=timezone(timedelta(hours=1)))
    assert at(moment) == "at(2026-11-24T18:45:00)"


@given(MOMENTS)
def test_a_time_that_is_written_is_read_back_to_the_second(moment: datetime) -> None:
    assert parse_at(at(moment)) == moment.astimezone(UTC).replace(microsecond=0)


def test_the_schedule_is_found_by_its_name_alone() -> None:
    assert schedule_name("dev") == "swift-fleet-dev-end"


def test_the_right_to_terminate_ends_at_the_stacks_own_tag() -> None:
    (statement,) = json.loads(right_to_terminate("dev"))["Statement"]
    assert statement["Action"] == "ec2:TerminateInstances"
    assert statement["Condition"] == {"StringEquals": {"ec2:ResourceTag/swift-fleet:stack": "dev"}}
