from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.lived import Lived
from training.record import Request, Stage
from training.spent import billed

BEGAN = datetime(2026, 11, 24, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
REQUEST = Request("run-7f3a", "/jobs/job.yaml", "stack", "dev")
PLAN = Stage(BEGAN, "plan", "started")
DOWN = Stage(BEGAN + 3 * HOUR, "down", "done")
A_DAY_LATER = BEGAN + 25 * HOUR


@pytest.mark.parametrize(
    ("lived", "events", "said"),
    [
        (Lived(BEGAN + HOUR), (PLAN,), (24.0, False)),
        (Lived(BEGAN + HOUR, BEGAN + 5 * HOUR), (PLAN,), (4.0, False)),
        (Lived(BEGAN, BEGAN + 5 * HOUR, at_most=True), (PLAN,), (5.0, True)),
        (Lived(BEGAN, BEGAN + 5 * HOUR, at_most=True), (PLAN, DOWN), (3.0, True)),
        (Lived(BEGAN, BEGAN + 99 * HOUR, at_most=True), (PLAN,), (25.0, True)),
    ],
)
def test_a_run_that_is_looked_at_a_day_later_cost_no_day(
    lived: Lived, events: tuple[Stage, ...], said: tuple[float, bool]
) -> None:
    assert billed(REQUEST, lived, events, A_DAY_LATER) == said


def test_of_a_fleet_that_was_up_before_only_the_runs_own_time_counts() -> None:
    guest = replace(REQUEST, fleet_was_up=True)
    assert billed(guest, Lived(BEGAN - 9 * HOUR, BEGAN + HOUR), (PLAN,), A_DAY_LATER) == (1.0, False)
    assert billed(guest, Lived(BEGAN - 9 * HOUR), (PLAN,), BEGAN + HOUR) == (1.0, False)
