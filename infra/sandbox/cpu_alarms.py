"""CloudWatch's alarms on an instance's CPU, evaluated every five minutes of the cloud's clock. moto only stores them.

The metric: what the host's processes have used of the type's CPUs since the last look; where the clock was moved over
many looks at once, the last known. `POST /_sandbox/metrics {"i-...": 0.4}` sets it instead, null lets go of it. An
instance reports nothing before it runs. The actions known are `arn:aws:automate:<region>:ec2:terminate|stop`.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES

from infra.sandbox.clock import Clock, Due
from infra.sandbox.patches import instances

#: EC2's basic monitoring has one point every five minutes.
EVERY = timedelta(minutes=5)
KEPT = timedelta(days=1)
#: Shorter than this of real time, the use of the CPU can't be told: a look then repeats the last.
SHORTEST_S = 0.5
_ENOUGH = {
    "LessThanThreshold": lambda value, limit: value < limit,
    "LessThanOrEqualToThreshold": lambda value, limit: value <= limit,
    "GreaterThanThreshold": lambda value, limit: value > limit,
    "GreaterThanOrEqualToThreshold": lambda value, limit: value >= limit,
}
_OF_A_PERIOD: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "SampleCount": len,
}


def state_of(
    points: Sequence[float | None], breaches: Callable[[float], bool], needed: int, missing: str
) -> str | None:
    """The state of an alarm by the newest N periods, None for one that stays as it is."""
    told = [point for point in points if point is not None]
    if not told and missing in ("missing", "ignore"):
        return "INSUFFICIENT_DATA" if missing == "missing" else None
    breaching = sum(breaches(point) for point in told)
    absent = len(points) - len(told)
    if missing == "breaching":
        return "ALARM" if breaching + absent >= needed else "OK"
    if breaching >= needed:
        return "ALARM"
    # With `missing` a few breaching points among none that are well are enough; with `ignore` nothing changes then.
    if absent and breaching == len(told) and missing != "notBreaching":
        return "ALARM" if missing == "missing" else None
    return "OK"


@dataclass
class _Metric:
    """points: (when, percent); used_s: CPU seconds of the host at the last look, at `real_s` of the real clock."""

    points: deque[tuple[datetime, float]] = field(default_factory=deque)
    real_s: float | None = None
    used_s: float = 0.0
    last: float = 0.0


class Alarms:
    """A source of the clock. `cpu_seconds` of an instance's host so far, None where it has none that is up."""

    def __init__(
        self,
        clock: Clock,
        lock: AbstractContextManager[Any],
        cpu_seconds: Callable[[str], float | None],
        act: Callable[[str, str, str], None],
    ) -> None:
        self._clock, self._lock, self._cpu_seconds, self._act = clock, lock, cpu_seconds, act
        self._own = threading.Lock()
        self._next: datetime | None = None
        self._metrics: dict[str, _Metric] = {}
        self._set: dict[str, float] = {}
        clock.follow(self._due)

    def set(self, values: dict[str, float | None]) -> None:
        with self._own:
            self._set |= {one: value for one, value in values.items() if value is not None}
            for one in [one for one, value in values.items() if value is None]:
                self._set.pop(one, None)

    def states(self) -> dict[str, str]:
        with self._lock:
            return {alarm.name: alarm.state_value for _, alarm in _stored()}

    def _due(self) -> Iterator[Due]:
        with self._lock:
            any_alarm = any(True for _ in _stored())
        if not any_alarm:
            self._next = None
            return
        self._next = self._next or self._clock.now() + EVERY
        yield Due(self._next, "alarms", self._look)

    def _look(self) -> None:
        now = self._next or self._clock.now()
        self._next = now + EVERY
        with self._lock:
            alarms = list(_stored())
            running = {one.id: _cpus(one) for one in instances.every() if one.state == "running"}
        with self._own:
            for one, cpus in running.items():
                self._measure(one, cpus, now)
            fired = [(region, alarm) for region, alarm in alarms if self._evaluate(alarm, now)]
        for region, alarm in fired:
            for action in alarm.alarm_actions:
                verb = action.removeprefix(f"arn:aws:automate:{region}:ec2:")
                if alarm.actions_enabled and verb in ("terminate", "stop"):
                    self._act(region, verb, _instance(alarm))

    def _measure(self, instance_id: str, cpus: int, now: datetime) -> None:
        metric = self._metrics.setdefault(instance_id, _Metric())
        real, used = time.monotonic(), self._cpu_seconds(instance_id)
        if used is None:
            return
        if metric.real_s is not None and real - metric.real_s >= SHORTEST_S:
            percent = 100 * max(0.0, used - metric.used_s) / (real - metric.real_s) / cpus
            metric.last = min(100.0, percent)
        if metric.real_s is None or real - metric.real_s >= SHORTEST_S:
            metric.real_s, metric.used_s = real, used
        metric.points.append((now, self._set.get(instance_id, metric.last)))
        while metric.points[0][0] < now - KEPT:
            metric.points.popleft()

    def _evaluate(self, alarm: Any, now: datetime) -> bool:
        """Whether the alarm has just gone off."""
        metric = self._metrics.get(_instance(alarm))
        if alarm.metric_name != "CPUUtilization" or alarm.namespace != "AWS/EC2" or metric is None:
            return False
        period, periods = timedelta(seconds=int(alarm.period)), int(alarm.evaluation_periods)
        of_a_period = _OF_A_PERIOD[alarm.statistic]
        points: list[float | None] = []
        for number in range(periods):
            end = now - number * period
            values = [value for at, value in metric.points if end - period < at <= end]
            points.append(of_a_period(values) if values else None)
        enough = _ENOUGH[alarm.comparison_operator]
        state = state_of(
            points,
            lambda value: enough(value, float(alarm.threshold)),
            int(alarm.datapoints_to_alarm or periods),
            alarm.treat_missing_data or "missing",
        )
        if state is None or state == alarm.state_value:
            return False
        alarm.update_state(f"Threshold: {points}", "{}", state)
        return state == "ALARM"


def _stored() -> Iterator[tuple[str, Any]]:
    for regions in list(cloudwatch_backends.values()):
        for region, backend in list(regions.items()):
            for alarm in list(backend.alarms.values()):
                yield region, alarm


def _instance(alarm: Any) -> str:
    return next((str(one.value) for one in alarm.dimensions if one.name == "InstanceId"), "")


def _cpus(instance: Any) -> int:
    facts = INSTANCE_TYPES.get(instance.instance_type, {})
    return int(facts.get("VCpuInfo", {}).get("DefaultVCpus", 1))
