from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infra.sandbox.clock import Clock, Due
from infra.sandbox.schedules import parse_at, parse_target
from infra.sandbox.timers import Timers

T0 = datetime(2026, 12, 1, 10, tzinfo=UTC)


def frozen() -> Clock:
    return Clock(real=T0.timestamp)


def timers_of(clock: Clock) -> tuple[Timers, list[str]]:
    fired: list[str] = []
    return Timers(
        clock, lambda host, unit, command, to_its_end: fired.append(f"{host} {unit} {' '.join(command)}")
    ), fired


def test_now_is_the_real_time_plus_what_was_advanced() -> None:
    clock = frozen()
    clock.advance(90)
    assert clock.now() == T0 + timedelta(seconds=90)


def test_the_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        frozen().advance(-1)


def test_a_timer_fires_once_its_moment_has_come_and_only_once() -> None:
    clock = frozen()
    timers, fired = timers_of(clock)
    timers.add("i-1", "lease", ["poweroff"], after=100)
    assert clock.run_due() == T0 + timedelta(seconds=100)
    assert fired == []
    clock.advance(100)
    assert clock.run_due() is None
    assert fired == ["i-1 lease poweroff"]


def test_a_timer_that_comes_round_fires_at_each_of_its_moments_and_waits_for_its_command() -> None:
    clock, waited = frozen(), []
    timers = Timers(clock, lambda host, unit, command, to_its_end: waited.append(to_its_end))
    timers.add("i-1", "idle", ["x"], every=300)
    clock.advance(1000)
    assert clock.run_due() == T0 + timedelta(seconds=1200)
    assert waited == [True] * 3
    assert timers.remove("i-1", "idle")
    clock.advance(1000)
    assert clock.run_due() is None


def test_what_is_due_runs_in_order_of_time() -> None:
    clock = frozen()
    timers, fired = timers_of(clock)
    timers.add("i-1", "late", ["b"], after=20)
    timers.add("i-1", "early", ["a"], after=10)
    clock.advance(30)
    clock.run_due()
    assert fired == ["i-1 early a", "i-1 late b"]


def test_an_instant_given_by_a_host_counts_from_the_offset_at_that_time() -> None:
    """A host's `date` does not know that the cloud's clock was moved."""
    clock = frozen()
    timers, fired = timers_of(clock)
    clock.advance(7200)
    timer = timers.add("i-1", "lease", ["x"], at=(T0 + timedelta(hours=1)).timestamp())
    assert timer.shown == T0 + timedelta(hours=1)
    assert clock.run_due() == T0 + timedelta(hours=3)
    clock.advance(3600)
    clock.run_due()
    assert fired


def test_two_timers_of_one_unit_are_refused_but_hosts_do_not_meet() -> None:
    timers, _ = timers_of(frozen())
    timers.add("i-1", "lease", ["x"], after=1)
    timers.add("i-2", "lease", ["x"], after=1)
    with pytest.raises(KeyError):
        timers.add("i-1", "lease", ["x"], after=1)


def test_a_stopped_timer_and_those_of_a_host_that_is_off_never_fire() -> None:
    clock = frozen()
    timers, fired = timers_of(clock)
    timers.add("i-1", "a", ["x"], after=1)
    timers.add("i-2", "b", ["x"], after=1)
    assert timers.remove("i-1", "a")
    assert not timers.remove("i-1", "a")
    timers.forget("i-2")
    clock.advance(10)
    assert clock.run_due() is None
    assert fired == []


def test_the_thread_wakes_for_a_moment_that_comes_up_while_it_waits() -> None:
    done = threading.Event()
    waiting: list[Due] = []

    def source() -> Iterator[Due]:
        yield from list(waiting)

    clock = Clock()
    clock.follow(source)
    clock.start()
    try:
        due = Due(clock.now() + timedelta(seconds=3600), "x", lambda: (waiting.clear(), done.set())[0])
        waiting.append(due)
        clock.wake()
        clock.advance(3600)
        assert done.wait(5)
    finally:
        clock.stop()
    assert time.time() > 0


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        ("at(2026-12-01T10:00:00)", "UTC", T0),
        ("at(2026-12-01T11:00:00)", "Europe/Berlin", T0),
        ("at(2026-12-01T05:00:00)", "America/New_York", T0),
        ("rate(5 minutes)", "UTC", None),
        ("cron(0 10 * * ? *)", "UTC", None),
        ("at(2026-12-01T10:00:00)", "Nowhere/Land", None),
    ],
)
def test_one_time_expressions_are_read_in_their_zone(expression: str, zone: str, expected: datetime | None) -> None:
    assert parse_at(expression, zone) == expected


def test_a_universal_target_names_a_call_of_boto3() -> None:
    assert parse_target("arn:aws:scheduler:::aws-sdk:ec2:terminateInstances") == ("ec2", "terminate_instances")
    assert parse_target("arn:aws:lambda:us-east-1:1:function:f") is None
