from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.schedules import at, parse_at, schedule_name
from infra.tags import node_prefix, stack_named

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


@pytest.mark.parametrize("stack", ["dev", "node-000", "a-node-1-end", "a-end"])
def test_a_schedule_is_found_by_its_name_alone(stack: str) -> None:
    name = schedule_name(stack, "node-012")
    assert name.startswith(node_prefix(stack)) and stack_named(name, "end") == stack


@pytest.mark.parametrize("name", ["swift-fleet-dev-end", "swift-fleet-dev-node-000-idle", "dev-node-000-end"])
def test_another_name_is_nobodys_schedule(name: str) -> None:
    assert stack_named(name, "end") is None


def test_a_one_time_expression_is_a_moment() -> None:
    assert parse_at("at(2026-11-24T18:45:00)") == datetime(2026, 11, 24, 18, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["rate(5 minutes)", "cron(0 12 * * ? *)", "at(2026-11-24)", "at(2026-11-24T18:45:00) ", ""]
)
def test_any_other_expression_is_none_of_ours(expression: str) -> None:
    assert parse_at(expression) is None
